"""BOHB against a whole grid, by the size of the grid."""

import functools
import itertools
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

import rbt_ray as rbt
from benchmarks import problems
from benchmarks.crossover import N_BARS, old_bundle
from benchmarks.decisions.page import Decision, case
from benchmarks.search_quality import NEAR, driven, study_of
from benchmarks.throughput import burn
from rbt_ray.bench import Sample, median_with_interval
from rbt_ray.bench.significance import wilcoxon_p
from rbt_ray.search.registry import AUTO, make_searcher

ABOUT = """\
Without: all configs of a grid are evaluated. With: BOHB with Hyperband and the model that "auto" uses, until a config at full
fidelity is within 1 % of the best of the grid. The grids are of the moving-average crossover sma_cross (fast 2 to 1,001, slow
10 to 1,009, in steps) on 8 symbols x 5,124 days. The best config of each is known from the whole grid. Fidelities are the first third
and all of the days. For the times, an evaluation takes 1 ms of processor time at full fidelity and a share of it below, on two
running local workers. Grids of more than 20,000 configs are not run: their time is the minimum for two workers, 0.5 ms per config.
If a search does not come within 1 % in {most:,} evaluations, the time of the grid is added to its own."""
SIDES = (5, 10, 32, 100, 316, 1_000)
MEANT_FROM = 1_000
RUN_UP_TO = 20_000
MOST = 5_000
N_SEEDS = 20
FULL_S = 1e-3
LOWEST = 1 / 3


def problem_of(side):
    """The problem of a grid of `side` by `side`, and its losses by fidelity."""
    at = np.arange(side) * (1_000 // side)
    losses = problems.swept(rbt.objectives.sma_cross(), old_bundle(), {"fast": 2 + at, "slow": 10 + at}, LOWEST)
    places = dict.fromkeys(
        ("fast", "slow"), np.arange(side)
    )  # what is searched is a value's place among its parameter's
    return problems.on_a_grid(f"{side**2:,} configs", places, losses), losses


def costs_until_near(problem, n_seeds):
    """``(n_seeds,)`` full evaluations until a config within 1 % of the best was known; inf where it never was."""
    near = NEAR * abs(problem.best) / problem.scale
    found = []
    for seed in range(n_seeds):
        searcher = make_searcher(study_of(problem, "bohb", seed, scheduler={"name": "hyperband"}, **asdict(AUTO)))
        found.append(driven(searcher, problem, MOST, seed, n_open=32).until(near))
    return np.array(found)


def random_order(losses, n_seeds):
    """The same for a grid in a random order, whose user sees when it is near."""
    full = losses[1.0]
    near = np.flatnonzero(full <= np.nanmin(full) + NEAR * abs(np.nanmin(full)))
    rng = np.random.default_rng(0)
    return np.array([1 + rng.permutation(len(full))[: len(near)].min() for _ in range(n_seeds)])


class FromTable:
    """Burns what an evaluation takes, and reads its result from files.

    Args:
        place: a folder with a table a fidelity.
        side: values of each parameter.
    """

    def __init__(self, place, side):
        self.place, self.side = place, side

    def __call__(self, params, data):
        began = time.thread_time()
        tables = _tables(self.place)
        share = min(tables, key=lambda fidelity: abs(fidelity - data.n_bars / N_BARS))
        at = 0
        for place in params.values():
            at = at * self.side + int(place)
        burn(FULL_S * share - (time.thread_time() - began))
        return {"sharpe": float(-tables[share][at])}


@functools.cache
def _tables(place):
    files = [np.load(path, mmap_mode="r") for path in sorted(Path(place).glob("*.npy"))]
    return {round(3.0**-rung, 12): table for rung, table in enumerate(files)}


class Found(Exception):  # noqa: N818 - good news
    """Ends a study: a config is as good as what was wanted."""


class UntilNear:
    """Ends a study with the first config at full fidelity that is as good as that."""

    def __init__(self, wanted):
        self.wanted = wanted

    def on_trial_complete(self, result):
        if result.fidelity == 1 and result.metrics.get("sharpe", -np.inf) >= self.wanted:
            raise Found


def run(objective, problem, search, place, whole):
    """One study: to its end, or until it is near."""
    wanted = -problem.best - NEAR * abs(problem.best)

    def tuner(side, callbacks=(), **settings):
        return rbt.Tuner(
            objective,
            param_space=dict.fromkeys(problem.space.names, rbt.randint(0, side)),
            bundle=old_bundle(),
            tune_config=rbt.TuneConfig(metric="sharpe", **settings),
            run_config=rbt.RunConfig(
                f"s{time.monotonic_ns()}", place, backend="local", num_workers=2, verbose=0, callbacks=callbacks
            ),
        )

    tuner(2, search_alg="grid").fit()  # workers are up and have the objective, whatever ended the study before
    one = tuner(objective.side, [] if whole else [UntilNear(wanted)], min_fidelity=LOWEST, **search)
    began = time.perf_counter()
    try:
        found = one.fit().get_best_result().metrics["sharpe"] >= wanted
    except Found:
        found = True
    seconds = time.perf_counter() - began
    if not whole and not found:
        seconds, found = seconds + least_time(problem), True
    return Sample(seconds, result={"digest": f"{'' if found else 'not '}within 1 % of the best"})


def least_time(problem):
    """Of a grid on two workers."""
    return problem.space.grid_size * FULL_S / 2


def timed(page, problem, losses, side, quick):
    """A case: a grid's time beside BOHB's."""
    n = problem.space.grid_size
    with tempfile.TemporaryDirectory() as place:
        for rung, fidelity in enumerate(sorted(losses, reverse=True)):
            np.save(f"{place}/{rung}.npy", losses[fidelity])
        objective = FromTable(place, side)
        seeds = iter(range(1_000))

        def whole():
            if n > RUN_UP_TO:
                return Sample(least_time(problem), result={"digest": "within 1 % of the best"})
            return run(objective, problem, {"search_alg": "grid"}, place, whole=True)

        def searched():
            settings = {"search_alg": AUTO, "num_samples": n, "max_cost": MOST, "seed": next(seeds)}
            return run(objective, problem, settings, place, whole=False)

        name = f"{n:,} configs at 1 ms" + (" (grid not run: its minimum time)" if n > RUN_UP_TO else "")
        page.cases.append(case(name, whole, searched, meant=n >= MEANT_FROM, runs=2 if quick else 10))


def crossing(sizes, costs):
    """Between which sizes a cost falls below the size, and where on a straight line of logarithms; None: nowhere."""
    for (low, above), (high, below) in itertools.pairwise(zip(sizes, costs, strict=True)):
        if above >= low and below < high:
            a, b = np.log(above / low), np.log(high / below)
            return low, high, float(np.exp(np.log(low) + np.log(high / low) * a / (a + b)))
    return None


def decide(quick):
    page = Decision("bohb", "BOHB", ABOUT.format(most=MOST))
    n_seeds = 2 if quick else N_SEEDS
    head = [
        "configs",
        "grid",
        "grid in random order until within 1 %",
        "BOHB until within 1 %",
        "BOHB, worst seed",
        "found",
        "p against the grid",
    ]
    rows, sizes, medians, tried = [head], [], [], []
    for side in SIDES[:1] if quick else SIDES:
        problem, losses = problem_of(side)
        n = problem.space.grid_size
        costs, order = costs_until_near(problem, n_seeds), random_order(losses, n_seeds)
        print(f"bohb: {n:,} configs, evaluations until near: {np.sort(costs).tolist()}", file=sys.stderr, flush=True)
        sizes.append(n)
        medians.append(float(np.median(costs)))
        cells = [f"{n:,}", f"{n:,}", _interval(order), _interval(costs), _count(costs.max())]
        p = wilcoxon_p(np.full(n_seeds, float(n)), np.minimum(costs, 1e9))
        rows.append([*cells, f"{np.isfinite(costs).sum()}/{n_seeds}", f"{p:.1g}"])
        tried.append((problem, losses, side))
    for problem, losses, side in tried:
        timed(page, problem, losses, side, quick)
    rbt.shutdown()
    page.tables["Full evaluations, all rungs included"] = rows
    if not quick:
        page.notes = [_about(crossing(sizes, medians), "full evaluations"), _about(_crossing_time(page, sizes), "time")]
    return page


def _crossing_time(page, sizes):
    known = [(n, one.comparison) for n, one in zip(sizes, page.cases, strict=True) if one.comparison is not None]
    # The grid's time as if it were its size, so that one function serves both.
    return crossing([n for n, _ in known], [n * found.ratio for n, found in known])


def _about(found, of):
    if found is None:
        return f"In {of}, the two do not cross between the tested sizes."
    low, high, at = found
    where = f", at about {at:,.0f}" if np.isfinite(at) else ""
    return f"In {of}, BOHB becomes cheaper than the grid between {low:,} and {high:,} configs{where}."


def _interval(costs):
    median, low, high = (_count(value) for value in median_with_interval(costs))
    return f"{median} [{low}, {high}]"


def _count(cost):
    return f"{cost:,.0f}" if np.isfinite(cost) else "not found"
