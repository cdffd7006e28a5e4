"""BOHB against a grid, by the size of the grid."""

import argparse
import functools
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import rbt_ray as rbt
from benchmarks.crossover import N_BARS, old_bundle
from benchmarks.decisions.grids import CROSSOVER, REVERSION, costs_until_near, random_order
from benchmarks.decisions.page import Decision, case
from benchmarks.search_quality import NEAR
from benchmarks.throughput import burn
from rbt_ray.bench import fresh, median_with_interval
from rbt_ray.bench.significance import wilcoxon_p
from rbt_ray.search.registry import AUTO

ABOUT = """\
Without: a grid in random order. With: BOHB with Hyperband and the model that "auto" uses. Both stop with the first config at full
fidelity that is within 1 % of the best of the grid, which is known here from the whole grid and not to a user. In the regimes
"without a known best", the whole grid is evaluated, and the search gets {budget:,} full evaluations: both must come within 1 %.
The grids are of two objectives on 8 symbols x 5,124 days. The first problem was mean_reversion (window, entry, exit; fidelities
1/9, 1/3 and 1), on which searches needed far more evaluations. It was replaced while this page was made by the crossover sma_cross
(fast 2 to 1,001, slow 10 to 1,009; fidelities 1/3 and 1). The page has both. An evaluation takes 1 ms of processor time at full
fidelity and a share of it below, on two running local workers; each run is a new process. A search that does not come within 1 %
in {crossover:,} full evaluations of sma_cross, or {reversion:,} of mean_reversion, is followed by the grid, and both times count.
Grids of more than {up_to:,} configs are not run: the table has their evaluations, and there is no verdict on their time."""
MEANT_FROM = 1_000
RUN_UP_TO = 20_000
BUDGET = 1_000
N_SEEDS = 20
FULL_S = 1e-3
BOTH = {"sma_cross": CROSSOVER, "mean_reversion": REVERSION}
ROOT = Path(__file__).resolve().parents[2]


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


def run(place, grids, side, how, seed):
    """One timed run in this process: "order", "bohb" until near, "grid", or "budget" without a known best."""
    names = list(grids.axes(side))
    full = -np.load(f"{place}/0.npy")
    wanted = np.nanmax(full) - NEAR * abs(np.nanmax(full))
    spaces = {name: rbt.randint(0, side) for name in names}
    order = {"at": rbt.grid_search(np.random.default_rng(seed).permutation(len(full)).tolist())}

    def study(space, callbacks=(), **settings):
        results = rbt.Tuner(
            FromTable(place, side),
            param_space=space,
            bundle=old_bundle(),
            tune_config=rbt.TuneConfig(metric="sharpe", **settings),
            run_config=rbt.RunConfig(
                f"s{time.monotonic_ns()}",
                f"{place}/studies",
                backend="local",
                num_workers=2,
                verbose=0,
                callbacks=callbacks,
            ),
        ).fit()
        return results.get_best_result().metrics["sharpe"] >= wanted

    def until_near(space, **settings):
        try:
            return study(space, [UntilNear(wanted)], **settings)
        except Found:
            return True

    searched = {"search_alg": AUTO, "num_samples": len(full), "min_fidelity": grids.lowest, "seed": seed}
    study({name: rbt.randint(0, 2) for name in names}, search_alg="grid")  # workers are up and have the objective
    began = time.perf_counter()
    if how == "grid":
        found = study(spaces, search_alg="grid")
    elif how == "budget":
        found = study(spaces, **searched, max_cost=BUDGET)
    else:
        found = how == "bohb" and until_near(spaces, **searched, max_cost=grids.most)
        found = found or until_near(order, search_alg="grid")
    seconds = time.perf_counter() - began
    rbt.shutdown()
    return {"seconds": seconds, "digest": f"{'' if found else 'not '}within 1 % of the best"}


def timed(page, grids, losses, side, quick):
    """The cases of a grid: until near, and for the largest that is run without a known best."""
    n = len(losses[1.0])
    sides = {"until near": ("order", "bohb")}
    if n == max(one ** len(grids.axes(one)) for one in grids.sides if one ** len(grids.axes(one)) <= RUN_UP_TO):
        sides["without a known best"] = ("grid", "budget")
    with tempfile.TemporaryDirectory() as place:
        for rung, fidelity in enumerate(sorted(losses, reverse=True)):
            np.save(f"{place}/{rung}.npy", losses[fidelity])
        for words, pair in sides.items():
            seeds = {how: iter(range(1_000)) for how in pair}

            def one(how, seeds=seeds):
                options = [grids.name, str(side), how, str(next(seeds[how]))]
                return fresh([sys.executable, "-m", __name__, place, *options], cwd=ROOT)

            name = f"{grids.name}, {n:,} configs, {words}"
            both = (functools.partial(one, how) for how in pair)
            page.cases.append(case(name, *both, meant=n >= MEANT_FROM, quick=quick))


def crossing(sizes, costs):
    """Between which sizes a cost falls below the size, and where on a straight line of logarithms; None: nowhere."""
    for (low, above), (high, below) in itertools.pairwise(zip(sizes, costs, strict=True)):
        if above >= low and below < high:
            a, b = np.log(above / low), np.log(high / below)
            return low, high, float(np.exp(np.log(low) + np.log(high / low) * a / (a + b)))
    return None


HEAD = [
    "configs",
    "grid",
    "grid in random order until within 1 %",
    "BOHB until within 1 %",
    "BOHB, worst seed",
    "found",
    "p against the grid",
]


def cost_row(n, costs, order):
    """Full evaluations of a grid of `n` configs: of searches, and of grids in random order."""
    p = wilcoxon_p(np.full(len(costs), float(n)), np.minimum(costs, 1e9))
    cells = [f"{n:,}", f"{n:,}", _interval(order), _interval(costs), _count(costs.max())]
    return [*cells, f"{np.isfinite(costs).sum()}/{len(costs)}", f"{p:.1g}"]


def heading(grids):
    first = ", the first problem" if grids is REVERSION else ""
    return f"Full evaluations, all rungs included: {grids.name}{first}"


def decide(quick):
    numbers = {"crossover": CROSSOVER.most, "reversion": REVERSION.most, "budget": BUDGET, "up_to": RUN_UP_TO}
    page = Decision("bohb", "BOHB", ABOUT.format(**numbers))
    n_seeds = 2 if quick else N_SEEDS
    for grids in BOTH.values():
        rows, sizes, medians = [HEAD], [], []
        for side in grids.sides[:1] if quick else grids.sides:
            problem, losses = grids.problem(side)
            n = problem.space.grid_size
            costs, order = costs_until_near(grids, problem, n_seeds), random_order(losses, n_seeds)
            print(
                f"bohb: {n:,} configs, evaluations until near: {np.sort(costs).tolist()}", file=sys.stderr, flush=True
            )
            sizes.append(n)
            medians.append(float(np.median(costs)))
            rows.append(cost_row(n, costs, order))
            if n <= RUN_UP_TO:
                timed(page, grids, losses, side, quick)
        page.tables[heading(grids)] = rows
        if not quick:
            page.notes.append(about_crossing(grids, crossing(sizes, medians)))
    return page


def about_crossing(grids, found):
    if found is None:
        return f"On {grids.name}, full evaluations of BOHB and the whole grid do not cross between the tested sizes."
    low, high, at = found
    where = f", at about {at:,.0f}" if np.isfinite(at) else ""
    return f"On {grids.name}, BOHB needs fewer full evaluations than the whole grid from between {low:,} and {high:,} configs{where}."


def _interval(costs):
    median, low, high = (_count(value) for value in median_with_interval(costs))
    return f"{median} [{low}, {high}]"


def _count(cost):
    return f"{cost:,.0f}" if np.isfinite(cost) else "not found"


if __name__ == "__main__":
    from benchmarks.decisions import bohb  # so that workers find the objective by its module's name

    parser = argparse.ArgumentParser()
    parser.add_argument("place")
    parser.add_argument("name", choices=BOTH)
    parser.add_argument("side", type=int)
    parser.add_argument("how", choices=("order", "bohb", "grid", "budget"))
    parser.add_argument("seed", type=int)
    options = parser.parse_args()
    print(json.dumps(bohb.run(options.place, BOTH[options.name], options.side, options.how, options.seed)))
