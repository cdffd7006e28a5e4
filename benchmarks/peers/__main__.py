"""rbt_ray beside the tools that a user would pick instead: the same work, the same results, in one run.

    python benchmarks/peers grid|trials|tune|kernel|memory [--length 1e-5] [--rounds 3] [--data docs/decisions/peers.json]
    python benchmarks/peers write                  makes the page and its plots from the data
    python benchmarks/peers --quick                every peer of this environment once, results checked, nothing timed

Each round starts every peer once in a fresh process, in the order of the last round reversed, so that rbt_ray and each
peer run by turns as A B B A. A peer runs once cold, counted from the start of its process, then warm. No figure is kept
of a peer whose results are not the ones known in advance. Parts are merged into one file, as they can be run apart.
RustyBT needs an environment of its own: `benchmarks/peers/rustybt_environment` makes it; without it, it is left out.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))
RUSTYBT = ROOT / "build" / "rustybt" / "bin" / "python"
LENGTHS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
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
        return {1e-6: 200_000, 1e-5: 100_000, 1e-4: 15_000, 1e-3: 1_600, 1e-2: 160, 1e-1: 16, 1.0: 4}[length]
    return {1e-2: 100, 1e-1: 16, 1.0: 4}.get(length, 300)


def interpreter(peer):
    """The Python that has the peer; None where it is not set up."""
    if not peer.startswith("rustybt"):
        return sys.executable
    return str(RUSTYBT) if RUSTYBT.exists() else None


def run(peer, *arguments, timeout=400):
    """What a script says of itself."""
    command = [interpreter(peer), str(HERE / f"{peer}.py"), *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, check=False, env={**os.environ, "TQDM_DISABLE": "1"}
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        sys.exit(f"{peer} ended with {done.returncode}:\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}")
    return json.loads(lines[-1])


def rounds(peers, n_rounds, call):
    """Every peer once a round, each round in the order of the last one reversed."""
    found = {peer: [] for peer in peers}
    for number in range(n_rounds):
        for peer in peers if number % 2 == 0 else peers[::-1]:
            found[peer].append(call(peer))
            print(f"{number + 1}/{n_rounds} {peer}", file=sys.stderr, flush=True)
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


def orchestration(part, length, n_rounds, warm, n=None):
    n = n or evaluations(part, length)
    peers = [peer for peer in {"grid": GRID, "trials": TRIALS}[part] if interpreter(peer)]
    found = rounds(peers, n_rounds, lambda peer: run(peer, "--seconds", length, "--n", n, "--warm", warm))
    check(found)
    return {f"{part} {length:g}": {"seconds": length, "n": n, "peers": found}}


def tune(n_rounds, warm, n=1_000, n_default=20):
    """Ray Tune at 1 ms; by default it takes seconds a trial, so it gets fewer, and rates are compared."""
    found = {}
    for peers, count in ((("rbt_local", "rbt_on_ray", "ray_tune_best"), n), (("ray_tune_default",), n_default)):
        answers = rounds(peers, n_rounds, lambda peer, k=count: run(peer, "--seconds", 1e-3, "--n", k, "--warm", warm))
        check(answers)
        for peer, one in answers.items():
            found[peer] = one
    return {"tune 0.001": {"seconds": 1e-3, "peers": found}}


def kernel(n_rounds):
    """Configs a second and peak memory of a fresh process; figures of the two order-level pairs must agree."""
    from rbt_ray.bench import fresh

    found, figures = {}, {}
    for number in range(n_rounds):
        for name in list(KERNEL)[:: 1 if number % 2 == 0 else -1]:
            script, *arguments = KERNEL[name]
            sample = fresh([sys.executable, str(HERE / script), *arguments])
            figures[name] = sample.result["figures"]
            each = [seconds / sample.result["n"] for seconds in sample.result["seconds_each"]]
            found.setdefault(name, []).append({"seconds_a_config": each, "n": sample.result["n"], "pss": sample.peak_pss})
            print(f"{number + 1}/{n_rounds} {name}: {1 / np.median(each):,.0f} /s", file=sys.stderr, flush=True)
    largest = {}
    for ours, theirs in SAME.items():
        a, b = np.array(figures[ours]), np.array(figures[theirs])
        largest[ours] = float(np.max(np.abs(a - b) / np.abs(b)))
        if not largest[ours] < 1e-12:
            sys.exit(f"{ours} and {theirs} differ by {largest[ours]:.2g}")
    return {"kernel": {"cases": found, "largest_difference": largest}}


def memory(n_rounds):
    """Private memory of workers that have read all of a 500 MB bundle, by the way it reaches them."""
    import memory as script

    found = {}
    for number in range(n_rounds):
        for way in list(script.WAYS)[:: 1 if number % 2 == 0 else -1]:
            found.setdefault(way, []).append(run("memory", way))
            print(f"{number + 1}/{n_rounds} {way}", file=sys.stderr, flush=True)
    return {"memory": found}


def machine():
    def known(name):
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    model = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    return {
        "cores": os.cpu_count(), "processor": model[0] if model else platform.processor(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30), "system": platform.platform(),
        "python": platform.python_version(), "packages": {name: known(name) for name in PACKAGES},
    }  # fmt: skip


def quick():
    """Every peer that runs in this environment, with little work: right scores and equal tables are all it asserts."""
    for part in ("grid", "trials"):
        orchestration(part, 1e-5, 1, 1, n=20)
    print("all peers found the same")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("grid", "trials", "tune", "kernel", "memory", "write"))
    parser.add_argument("--length", type=float, choices=LENGTHS, help="seconds an evaluation; all by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm", type=int, default=4, help="warm runs a process")
    parser.add_argument("--data", type=Path, default=ROOT / "docs" / "decisions" / "peers.json")
    parser.add_argument("--quick", action="store_true", help="correctness only")
    options = parser.parse_args()
    if options.quick:
        return quick()
    if options.part is None:
        parser.error("which part?")
    data = json.loads(options.data.read_text()) if options.data.exists() else {}
    if options.part in ("grid", "trials"):
        for length in [options.length] if options.length else LENGTHS:
            data.update(orchestration(options.part, length, options.rounds, options.warm))
    elif options.part == "tune":
        data.update(tune(options.rounds, options.warm))
    elif options.part == "kernel":
        data.update(kernel(options.rounds))
    elif options.part == "memory":
        data.update(memory(options.rounds))
    else:
        import page

        return page.write(data, options.data)
    data["machine"] = machine()
    options.data.parent.mkdir(parents=True, exist_ok=True)
    options.data.write_text(json.dumps(data, indent=1) + "\n")
    return None


if __name__ == "__main__":
    main()
