"""How often the verdict holds up without skill, and with skill: simulated studies, judged by the code that judges yours.

    python benchmarks/trust.py [--groups NAMES] [--seeds 300] [--first 0] [--processes 2] [--quick]
        [--write docs/decisions]

Every study has 2,520 daily bars. Groups without skill:

- iid: 100 trials of independent normal returns.
- driftless, drifting, garch: a grid of 90 moving-average crossovers, without costs, on the prices of one symbol: normal returns
  without and with a drift of 15 % a year, and GARCH(1,1) returns. Their returns are those of the built-in objective.
- bohb, tpe: searches of moving-average crossovers on driftless prices with a budget of 300 evaluations, an audit set of 128
  configs drawn at random, and a hold-out of 630 more bars. A config whose averages have equal lengths never trades and has a
  Sharpe ratio of 0.

Groups with skill: ir1.0 and ir1.5 are iid with a true information ratio of 1.0 and 1.5 in one trial. Each study without a
hold-out has a walk-forward by blocks, 8 to train and 1 to test. The group cost measures cross-validation of 100,000 trials.

With `--write`, the figures of each study are saved in trust.json with the version of the code and the date. A run replaces the
groups that it runs, and the page is written from all groups.
"""

import argparse
import json
import multiprocessing
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np

import rbt_ray as rbt

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.machine import machine
from benchmarks.problems import on_a_grid, swept
from benchmarks.search_quality import study_of
from benchmarks.trust_page import page
from rbt_ray.analysis.evidence import Moments
from rbt_ray.analysis.overfitting import cscv_of_sums
from rbt_ray.analysis.verdict import VerdictInputs, judge
from rbt_ray.analysis.walk_forward import walk_forward_of_sums
from rbt_ray.block_sums import Benchmark, BlockSums
from rbt_ray.columns import Outcomes, Results
from rbt_ray.search.registry import make_searcher
from rbt_ray.types import COMPLETED

N_BARS, HOLDOUT, WARM_UP = 2_520, 630, 260
YEAR = 252
DAILY = 0.01
"""Standard deviation of returns per bar."""
FAST = (2, 4, 6, 9, 12, 16, 20, 25, 30, 40)
SLOW = (50, 65, 80, 100, 120, 140, 165, 190, 220)
AUDIT, BUDGET = 128, 300


def judged(returns, benchmark, *, n_trials=None, n_evaluations=None, winner=None, **options):
    """Returns the figures of a verdict that the page is made from.

    Args:
        returns: ``(n_bars, n_trials)`` per bar.
        benchmark: ``(n_bars,)``.
        n_trials: of the study; None: all columns.
        n_evaluations: of the study; None: the same.
        winner: a column; None: the one with the highest Sharpe ratio.
        options: further fields of the inputs.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = returns.mean(axis=0) / returns.std(axis=0, ddof=1)
    winner = int(np.nanargmax(ratios)) if winner is None else winner
    n_trials = n_trials or returns.shape[1]
    sums, beside = BlockSums.of(returns, benchmark), Benchmark.of(benchmark, YEAR)
    if "holdout" not in options:
        options["walk_forward"] = walk_forward_of_sums(sums, beside, 8, 1, anchored=False)
    z = (returns[:, winner] - returns[:, winner].mean()) / returns[:, winner].std()
    moments = Moments(len(returns), float(ratios[winner]), float((z**3).mean()), float((z**4).mean()))
    annual = float(ratios[winner]) * YEAR**0.5
    found = judge(
        VerdictInputs(
            sums, beside, winner, annual, "sharpe", n_trials, n_evaluations or n_trials, moments=moments, **options
        )
    )
    if not found.checks:
        return {"word": found.word, "sentence": found.sentence}
    luck, ranking, unseen = found.checks
    return {
        "word": found.word,
        "luck": luck.value,
        "pbo": ranking.value,
        "band": ranking.null_band,
        "unseen": unseen.state,
        "dsr": found.evidence["deflated_sharpe"],
        "sharpe": annual,
    }


def iid(rng, ratio=0.0):
    """Judges 100 trials of noise; the first has a true information ratio."""
    returns = rng.normal(0.0, DAILY, (N_BARS, 100))
    returns[:, 0] += ratio * DAILY / YEAR**0.5
    return judged(returns, rng.normal(0.0003, DAILY, N_BARS))


def prices(rng, kind, n_bars):
    """Returns a bundle of one symbol."""
    if kind == "garch":
        shocks, returns, variance = rng.standard_normal(n_bars), np.empty(n_bars), DAILY**2
        for t in range(n_bars):
            returns[t] = variance**0.5 * shocks[t]
            variance = 0.01 * DAILY**2 + 0.08 * returns[t] ** 2 + 0.91 * variance
    else:
        returns = rng.normal(0.15 / YEAR if kind == "drifting" else 0.0, DAILY, n_bars)
    days = np.datetime64("2000-01-01") + np.arange(n_bars)
    return rbt.Bundle.from_arrays({"close": 100 * np.cumprod(1 + returns)[:, None]}, days, ["X"])


def crossover():
    return rbt.objectives.sma_cross(turnover_bps=0.0)


def returns_of(configs, view):
    """Returns ``(n_bars, n_configs)`` returns of moving-average crossovers."""
    objective = crossover()
    return np.column_stack([objective({"fast": fast, "slow": slow}, view).returns for fast, slow in configs])


def held(view):
    """Returns ``(n_bars,)`` returns of holding."""
    return np.concatenate([[0.0], np.diff(view.close[:, 0]) / view.close[:-1, 0]])


def grid(rng, kind):
    """Judges a whole grid; the bars in which averages have no value are left out."""
    bundle = prices(rng, kind, WARM_UP + N_BARS)
    view = bundle.view(bundle.n_bars)
    configs = [(fast, slow) for fast in FAST for slow in SLOW]
    return judged(returns_of(configs, view)[WARM_UP:], held(view)[WARM_UP:])


def search(rng, seed, search_alg):
    """Judges a search that learns, by an audit set and a hold-out."""
    bundle = prices(rng, "driftless", N_BARS + HOLDOUT)
    axes = {"fast": np.arange(2, 62), "slow": np.arange(20, 252)}
    train = rbt.Bundle.from_arrays({"close": np.array(bundle.close[:N_BARS])}, bundle.index[:N_BARS], ["X"])
    problem = on_a_grid("noise", axes, swept(crossover(), train, axes, 1 / 9 if search_alg == "bohb" else 1.0))
    scheduler = {"name": "hyperband"} if search_alg == "bohb" else None
    study = study_of(problem, search_alg, seed, climbs=scheduler is not None, scheduler=scheduler)
    best, n_evaluations = searched(make_searcher(study), problem)
    drawn = np.column_stack([rng.choice(values, AUDIT) for values in axes.values()])
    view = bundle.view(bundle.n_bars)
    returns, beside = returns_of([*drawn.tolist(), best], view), held(view)
    unseen = tuple(float(x[N_BARS:].mean() / x[N_BARS:].std(ddof=1) * YEAR**0.5) for x in (returns[:, -1], beside))
    return judged(
        returns[:N_BARS], beside[:N_BARS], n_trials=n_evaluations, winner=AUDIT, is_audit=True, holdout=unseen,
        holdout_years=HOLDOUT / YEAR,
    )  # fmt: skip


def searched(searcher, problem):
    """Returns the best config at full fidelity, and the number of evaluations at all fidelities."""
    best, lowest, spent, n = None, np.inf, 0.0, 0
    while spent < BUDGET and len(proposals := searcher.ask(1)):
        fidelity = float(proposals.fidelity[0])
        loss = np.nan_to_num(problem.loss(proposals.points, fidelity, None), nan=0.0)  # never in the market
        if fidelity == 1 and loss[0] < lowest:
            best, lowest = tuple(proposals.points[0].astype(int).tolist()), loss[0]
        status = np.full(1, COMPLETED, np.uint8)
        searcher.tell(Results(np.arange(1), proposals, Outcomes(status, {}, {}, np.zeros(1)), loss, ["w"]))
        spent, n = spent + fidelity, n + 1
    return best, n


STUDIES = {
    "iid": lambda rng, seed: iid(rng),
    "driftless": lambda rng, seed: grid(rng, "driftless"),
    "drifting": lambda rng, seed: grid(rng, "drifting"),
    "garch": lambda rng, seed: grid(rng, "garch"),
    "bohb": lambda rng, seed: search(rng, seed, "bohb"),
    "tpe": lambda rng, seed: search(rng, seed, "tpe"),
    "ir1.0": lambda rng, seed: iid(rng, 1.0),
    "ir1.5": lambda rng, seed: iid(rng, 1.5),
}


def run(task):
    group, seed = task
    warnings.simplefilter("ignore")
    return STUDIES[group](np.random.default_rng([2026, list(STUDIES).index(group), seed]), seed)


def cost(n_trials):
    """Returns CPU seconds and peak memory in MB of cross-validation in a process of its own."""
    rng = np.random.default_rng(0)
    shape = (n_trials, 16)
    sums = BlockSums(np.arange(n_trials), rng.normal(0, 0.1, shape), np.full(shape, 0.0157), np.zeros(shape))
    lengths = np.full(16, 157)
    few = BlockSums(*(part[:10] for part in (sums.trials, sums.sums, sums.squares, sums.products)))
    cscv_of_sums(few, lengths)  # loads the compiled code
    start = time.process_time()
    cscv_of_sums(sums, lengths)
    return {
        "n_trials": n_trials,
        "cpu_s": time.process_time() - start,
        "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measured(group, options):
    """Returns the figures of a group, as they are saved."""
    found = {"code": _code(), "date": time.strftime("%Y-%m-%d")}
    if group == "cost":
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return found | pool.apply(cost, (10_000 if options.quick else 100_000,))
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        seeds = range(options.first, options.first + options.seeds)
        return found | {"studies": pool.map(run, [(group, seed) for seed in seeds], 1)}


def _code():
    """Returns the version of the code, with "-dirty" if a script or module differs from it."""
    version = _git("describe", "--always")
    changed = _git("status", "--porcelain", "--", "rbt_ray", "benchmarks", "pyproject.toml")
    return version + "-dirty" * bool(changed) if version else rbt.__version__


def _git(*words):
    folder = Path(__file__).parents[1]
    return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False).stdout.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", default=",".join([*STUDIES, "cost"]), help="names, by commas")
    parser.add_argument("--seeds", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="the first seed; saved studies of lower seeds are kept")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="2 studies of each group")
    parser.add_argument("--write", type=Path, help="a folder for trust.md and its data")
    options = parser.parse_args()
    if options.quick:
        options.seeds = 2
    kept = options.write / "trust.json" if options.write else None
    results = json.loads(kept.read_text()) if kept is not None and kept.exists() else {}
    for group in options.groups.split(","):
        start = time.perf_counter()
        earlier = results[group]["studies"][: options.first] if options.first else []
        results[group] = measured(group, options)
        if earlier:
            results[group]["studies"] = earlier + results[group]["studies"]
        results["machine"] = machine(["numpy", "scipy", "numba"])
        print(f"{group}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
        if kept is not None:  # after each group: the later ones take long
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(results) + "\n")
            kept.with_suffix(".md").write_text(page(results, __doc__))
    print(page(results, __doc__))


if __name__ == "__main__":
    main()
