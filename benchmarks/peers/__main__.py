"""Compares rbt_ray with alternative tools: the same work and the same results, in one run.

    python benchmarks/peers grid|trials|tune|kernel|gains|memory [--length 1e-5] [--rounds 10] [--data docs/decisions/peers.json]
    python benchmarks/peers write                  makes the page and its plots from the data
    python benchmarks/peers --quick                every peer of this environment once, results checked, nothing timed

Each round starts every peer once in a fresh process, in the order of the last round reversed, so that rbt_ray and each
peer run by turns as A B B A. A peer runs once cold, counted from the start of its process, then warm. No figure is kept
of a peer whose results are not the ones known in advance. Parts and rounds are merged into one file, as they can be run
apart: remove it to start from the beginning.
RustyBT needs an environment of its own: `benchmarks/peers/rustybt_environment` makes it; without it, it is left out.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks.machine import machine

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RUSTYBT = ROOT / "build" / "rustybt" / "bin" / "python"
LENGTHS = {"grid": (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0), "trials": (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)}
"""Seconds an evaluation. Trials one at a time cost ms each: shorter than 10 us it is that alone, 1 s hides it."""
GRID = (
    "rbt_local", "rbt_on_ray", "pool_kept", "pool_anew", "executor", "joblib_loky", "rustybt_pool", "ray_tasks",
    "ray_actor_pool",
)  # fmt: skip
TRIALS = ("rbt_local", "rustybt_optimizer", "optuna_random", "optuna_tpe")
SAMPLERS = ("optuna_random", "optuna_tpe")
"""These choose configs of their own: each score is checked, and there is no table that two could share."""
KERNEL = {
    "closed form, kernel, one core": ["kernel_sweep.py", "--what", "kernel", "--n", "20000"],
    "closed form, study": ["kernel_sweep.py"],
    "orders": ["kernel_orders.py"],
    "vectorbt, one account a config": ["kernel_vectorbt.py", "--accounts", "shared"],
    "vectorbt, one account a symbol": ["kernel_vectorbt.py", "--accounts", "own"],
    "GOOG": ["goog_ours.py"],
    "backtesting.py, GOOG": ["goog_backtesting.py"],
}
SAME = {"orders": "vectorbt, one account a config", "GOOG": "backtesting.py, GOOG"}
PACKAGES = ("ray", "joblib", "optuna", "vectorbt", "backtesting", "numpy", "numba", "pandas")


def evaluations(part, length):
    """So many that a run takes about a second where nothing is lost; where a trial costs ms of its own, fewer."""
    if part == "grid":
        return {1e-6: 100_000, 1e-5: 60_000, 1e-4: 10_000, 1e-3: 1_000, 1e-2: 100, 1e-1: 16, 1.0: 4}[length]
    return {1e-2: 100, 1e-1: 16, 1.0: 4}.get(length, 300)


def interpreter(peer):
    """Returns the Python that has the peer; None if it is not set up."""
    if not peer.startswith("rustybt"):
        return sys.executable
    return str(RUSTYBT) if RUSTYBT.exists() else None


def run(peer, *arguments, timeout=400):
    """Returns the output of a script."""
    command = [interpreter(peer), str(HERE / f"{peer}.py"), *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, check=False, env={**os.environ, "TQDM_DISABLE": "1"}
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        sys.exit(f"{peer} ended with {done.returncode}:\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}")
    return json.loads(lines[-1])


def evaluating(peer, length, n, warm):
    """What a peer says of `n` evaluations of so many seconds, once cold and `warm` times warm."""
    return run(peer, "--seconds", length, "--n", n, "--warm", warm, "--launched", time.monotonic())


def a_round(peers, earlier, call):
    """Every peer once, in the order of the round before reversed; appended to what earlier rounds found."""
    found = {}
    for peer in peers if len(earlier.get(peers[0], ())) % 2 == 0 else peers[::-1]:
        found[peer] = [call(peer)]
        print(peer, file=sys.stderr, flush=True)
    return found


def check(found):
    """Stops where a peer found other scores than the ones known in advance, or another table than rbt_ray's."""
    tables = set()
    for peer, answers in found.items():
        if not all(one.pop("right") for one in answers):
            sys.exit(f"{peer}: scores that are not those of its configs")
        digests = {one.pop("digest") for one in answers}
        tables |= digests if peer not in SAMPLERS else set()
    if len(tables) != 1:
        sys.exit(f"tables of results differ: {tables}")


def joined(earlier, found):
    """Returns peers by name, in the order of the first round."""
    return {name: [*earlier.get(name, ()), *found.get(name, ())] for name in {**earlier, **found}}


def orchestration(part, length, warm, earlier=None, n=None):
    n = n or evaluations(part, length)
    before = (earlier or {}).get("peers", {})
    peers = [peer for peer in {"grid": GRID, "trials": TRIALS}[part] if interpreter(peer)]
    found = a_round(peers, before, lambda peer: evaluating(peer, length, n, warm))
    check(found)
    return {"seconds": length, "n": n, "peers": joined(before, found)}


def tune(warm, earlier=None, n=1_000, n_default=20):
    """Ray Tune at 1 ms; by default it takes seconds a trial, so it gets fewer, and rates are compared."""
    before, found = (earlier or {}).get("peers", {}), {}
    for peers, count, runs in (
        (("rbt_local", "rbt_on_ray", "ray_tune_best"), n, warm), (("ray_tune_default",), n_default, 1)
    ):  # fmt: skip
        answers = a_round(peers, before, lambda peer, k=count, w=runs: evaluating(peer, 1e-3, k, w))
        check(answers)
        found.update(answers)
    return {"seconds": 1e-3, "peers": joined(before, found)}


def measured(cases, earlier, command_of):
    """A round of fresh processes that tell seconds and figures: seconds a config and peak memory, and the figures."""
    from rbt_ray.bench import fresh

    found, figures = {}, {}
    n_before = max((len(answers) for answers in earlier.values()), default=0)
    for name in list(cases)[:: 1 if n_before % 2 == 0 else -1]:
        arguments, env = command_of(name)
        sample = fresh([sys.executable, *arguments], env=env)
        figures[name] = sample.result["figures"]
        each = [seconds / sample.result["n"] for seconds in sample.result["seconds_each"]]
        found[name] = [{"seconds_a_config": each, "n": sample.result["n"], "pss": sample.peak_pss}]
        print(f"{name}: {1 / np.median(each):,.0f} /s", file=sys.stderr, flush=True)
    return joined(earlier, found), figures


def kernel(earlier=None):
    """Configs a second and peak memory of a fresh process; figures of the two order-level pairs must agree."""

    def command_of(name):
        script, *arguments = KERNEL[name]
        return [str(HERE / script), *arguments], {}

    found, figures = measured(KERNEL, (earlier or {}).get("cases", {}), command_of)
    largest = {}
    for ours, theirs in SAME.items():
        a, b = np.array(figures[ours]), np.array(figures[theirs])
        largest[ours] = float(np.max(np.abs(a - b) / np.abs(b)))
        if not largest[ours] < 1e-12:
            sys.exit(f"{ours} and {theirs} differ by {largest[ours]:.2g}")
    return {"cases": found, "largest_difference": largest}


def gains(earlier=None):
    """The same sweep step by step from a Pool to the kernel; all Sharpe ratios must agree."""
    import gains as script

    found, figures = measured(
        script.WAYS,
        earlier or {},
        lambda way: ([str(HERE / "gains.py"), way], script.RAISED if "malloc" in way else {}),
    )
    first = next(iter(figures.values()))
    for way, table in figures.items():
        if not np.allclose(table, first, rtol=1e-9, atol=1e-9):
            sys.exit(f"{way}: other Sharpe ratios, by {np.max(np.abs(np.array(table) - first)):.2g}")
    return found


def memory(earlier=None):
    """Private memory of workers that have read all of a 500 MB bundle, by the way it reaches them."""
    import memory as script

    return joined(earlier or {}, a_round(list(script.WAYS), earlier or {}, lambda way: run("memory", way)))


def quick():
    """Every peer that runs in this environment, with little work: right scores and equal tables are all it asserts."""
    for part in ("grid", "trials"):
        orchestration(part, 1e-5, 1, n=20)
    print("all peers found the same")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("grid", "trials", "tune", "kernel", "gains", "memory", "write"))
    parser.add_argument("--length", type=float, choices=LENGTHS["grid"], help="seconds an evaluation; all by default")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--warm", type=int, default=1, help="warm runs a process")
    parser.add_argument("--data", type=Path, default=ROOT / "docs" / "decisions" / "peers.json")
    parser.add_argument("--quick", action="store_true", help="correctness only")
    options = parser.parse_args()
    if options.quick:
        return quick()
    if options.part is None:
        parser.error("which part?")
    data = json.loads(options.data.read_text()) if options.data.exists() else {}
    if options.part == "write":
        import page

        return page.write(data, options.data)
    for _ in range(options.rounds):  # a file after each: the later ones take long
        for name, measure in parts(options):
            data[name] = measure(data.get(name))
            data["machine"] = machine(PACKAGES)
            options.data.parent.mkdir(parents=True, exist_ok=True)
            options.data.write_text(json.dumps(data, indent=1) + "\n")
    return None


def parts(options):
    """What to measure: the name in the data, and how, given what was found before."""
    if options.part in ("grid", "trials"):
        for length in [options.length] if options.length else LENGTHS[options.part]:
            yield f"{options.part} {length:g}", partial(orchestration, options.part, length, options.warm)
    elif options.part == "tune":
        yield "tune 0.001", partial(tune, options.warm)
    else:
        yield options.part, {"kernel": kernel, "gains": gains, "memory": memory}[options.part]


if __name__ == "__main__":
    main()
