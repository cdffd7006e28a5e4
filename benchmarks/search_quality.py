"""Regret of searches on problems with a known best, by cost: full evaluations, with every rung charged.

    python benchmarks/search_quality.py [--groups abcdef] [--tools "A|B"] [--problem PART] [--seeds 30] [--processes 2] [--quick]
        [--write docs/decisions]

Groups: (a) counting ones, (b) functions with a fidelity, (c) strategies on real prices with a known grid of 100,000 configs,
(d) small grids, (e) a conditional space, a space of which half is forbidden, and configs of which a fifth fails, (f) classic
functions of five numbers. "auto" is `search_alg="auto"` as it comes: without `max_pending`, the number of open trials follows
from the number of results. "Optuna TPE as it comes" is Optuna's default sampler, and like all other searches it runs one trial
at a time, as Optuna does by default. In (c) it has 100 evaluations. All searches use the same seeds. Regret is computed at full
fidelity without noise and divided by that of a typical config (in (f), of one of the best hundredth). Square brackets show the
95 % bootstrap interval of the median. The p-values are Wilcoxon's, paired by seed, against "auto". No test checks these figures.

The settings of "auto" were chosen on other functions: a rotated ellipsoid, Rosenbrock, Ackley and Styblinski-Tang in five
dimensions, Hartmann in six, counting ones 6+2, and grids of `mean_reversion`, `momentum` and `rsi` on sample and on fx. None of
them is in these groups as a problem of its own; `mean_reversion` on sample is one of the two branches of the conditional space in
(e). One check of the quadratic fit was added after a look at 30 seeds of `breakout` on sample, so that (c) is not wholly held out.

With `--write`, the results of each seed of each search are saved in search_quality.json with the version of the code and the
date. A run replaces its own results, and the page is written from all results.
"""

import argparse
import functools
import json
import multiprocessing
import subprocess
import sys
import time
import warnings
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import rbt_ray as rbt

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import problems
from benchmarks.quality_page import AT, MOST, NEAR, OPTUNA, page
from rbt_ray.columns import Outcomes, Results
from rbt_ray.engine.frontier import open_limit
from rbt_ray.search.hyperband import Hyperband
from rbt_ray.search.optuna_sampler import OptunaSampler
from rbt_ray.search.registry import AUTO as CHOSEN
from rbt_ray.search.registry import make_searcher
from rbt_ray.search.scheduled_search import ScheduledSearch
from rbt_ray.search.scheduler import ladder_from
from rbt_ray.study.domains import Choice
from rbt_ray.study.numeric_domains import Float
from rbt_ray.study.study import Address, Study
from rbt_ray.types import COMPLETED, FAILED

AUTO = asdict(CHOSEN)
ETA = 3


@dataclass(frozen=True)
class Course:
    """The best result of a search over time.

    Args:
        cost: ``(n,)`` spent when each evaluation at full fidelity was over.
        regret: ``(n,)`` of the best until then.
        seconds: per proposal, including `tell`.
    """

    cost: np.ndarray
    regret: np.ndarray
    seconds: float

    def at(self, cost):
        """Returns the regret after that cost; inf before the first result."""
        n = np.searchsorted(self.cost, cost * (1 + 1e-9), side="right")
        return self.regret[n - 1] if n else np.inf

    def until(self, regret):
        """Returns the cost to reach that regret; inf if it was not reached."""
        reached = np.flatnonzero(self.regret <= regret)
        return self.cost[reached[0]] if len(reached) else np.inf


def driven(searcher, problem, most, seed, n_open=1):
    """Returns the course of a searcher of rbt_ray that gets results in order.

    Args:
        searcher: the searcher.
        problem: the problem.
        most: the maximal cost.
        seed: of the noise.
        n_open: how many trials may be open; None: as many as in a study without `max_pending`.
    """
    n_first = getattr(searcher, "n_first", 0)
    noise = np.random.default_rng([seed, 1])
    learns = getattr(searcher, "learns", True)
    waiting, spent, n, seconds, cost, regret = deque(), 0.0, 0, 0.0, [], []
    while True:
        start = time.perf_counter()
        allowed = open_limit(n, n_first) if n_open is None else n_open
        while len(waiting) < allowed and spent < most and len(proposals := searcher.ask(1)):
            waiting.append((proposals, spent := spent + proposals.fidelity[0]))
        seconds += time.perf_counter() - start
        if not waiting:
            return Course(np.array(cost), np.minimum.accumulate(regret), seconds / max(n, 1))
        proposals, paid = waiting.popleft()
        fidelity = float(proposals.fidelity[0])
        loss = problem.loss(proposals.points, fidelity, noise)
        if fidelity == 1:
            cost.append(paid)
            regret.append(problem.regret(proposals.points)[0])
        status = np.where(np.isnan(loss), FAILED, COMPLETED).astype(np.uint8)
        results = Results(np.arange(1), proposals, Outcomes(status, {}, {}, np.zeros(1)), loss, ["w"])
        start = time.perf_counter()
        if learns:
            searcher.tell(results)
        seconds, n = seconds + time.perf_counter() - start, n + 1


def study_of(problem, search_alg, seed, *, climbs=True, scheduler=None, **options):
    """Returns a study of a problem without a limit; a scheduler may use the fidelities of the problem."""
    lowest = problem.lowest if climbs else 1.0
    return Study(
        "quality", problem.space, "loss", "min", search_alg, None, seed, 1, True, Address("", {}, "", ""),
        search_options=options, scheduler=scheduler if climbs else None, lowest_fidelity=lowest, eta=ETA,
    )  # fmt: skip


def ours(search_alg, n_open=1, **settings):
    def course(problem, most, seed):
        return driven(make_searcher(study_of(problem, search_alg, seed, **settings)), problem, most, seed, n_open)

    return course


def as_hpbandster(problem, most, seed):
    """hpbandster's generator and brackets; nothing of ours decides."""
    searcher = make_searcher(study_of(problem, "bohb", seed, scheduler={"name": "hyperband"}, engine="hpbandster"))
    sampler = searcher._sampler
    plain = ScheduledSearch(problem.space, sampler, Hyperband(), ladder_from(problem.lowest, ETA), ETA)
    return driven(plain, problem, most, seed)


def optuna_tpe(**settings):
    def course(problem, most, seed):
        import optuna

        sampler = optuna.samplers.TPESampler(seed=seed, **settings)
        sampled = OptunaSampler(problem.space, seed=seed, sampler=sampler)
        most = min(most, max(AT))
        return driven(ScheduledSearch(problem.space, sampled, Hyperband(), (1.0,), ETA), problem, most, seed)

    return course


def optuna_with_pruner(problem, most, seed):
    """Optuna's multivariate TPE with its Hyperband pruner; each rung evaluates from the start, as prices must be read again."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    ladder, noise = ladder_from(problem.lowest, ETA), np.random.default_rng([seed, 1])
    steps = [round(f / ladder[0]) for f in ladder]
    pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=steps[-1], reduction_factor=ETA)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True), pruner=pruner)
    spent, n, seconds, cost, regret = 0.0, 0, 0.0, [], []
    while spent < most:
        start = time.perf_counter()
        trial = study.ask()
        point = np.array(
            [[_suggest(trial, *column) for column in zip(problem.space.names, problem.space.domains, strict=True)]]
        )
        seconds += time.perf_counter() - start
        for fidelity, step in zip(ladder, steps, strict=True):
            loss = float(problem.loss(point, fidelity, noise)[0])
            spent += fidelity
            if np.isnan(loss):
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                break
            if fidelity == 1:
                cost.append(spent)
                regret.append(problem.regret(point)[0])
            start = time.perf_counter()
            trial.report(loss, step)
            pruned = fidelity < 1 and trial.should_prune()
            if pruned or fidelity == 1:
                study.tell(
                    trial,
                    loss if fidelity == 1 else None,
                    state=None if fidelity == 1 else optuna.trial.TrialState.PRUNED,
                )
            seconds += time.perf_counter() - start
            if pruned:
                break
        n += 1
    return Course(np.array(cost), np.minimum.accumulate(regret), seconds / n)


def _suggest(trial, name, domain):
    if isinstance(domain, Choice):
        if domain.word == "grid_search":
            return float(trial.suggest_int(name, 0, len(domain.options) - 1))
        return float(trial.suggest_categorical(name, range(len(domain.options))))
    if isinstance(domain, Float):
        return trial.suggest_float(name, domain.lower, domain.upper)
    return float(domain.nth(np.array([float(trial.suggest_int(name, 0, domain.n_values - 1))]))[0])


TOOLS = {
    "random": ours("random", climbs=False),
    "Hyperband": ours("random", scheduler={"name": "hyperband"}),
    "hpbandster": as_hpbandster,
    OPTUNA: optuna_tpe(),
    "Optuna TPE univariate": optuna_tpe(multivariate=False),
    "Optuna TPE with its Hyperband pruner": optuna_with_pruner,
    "bohb": ours("bohb", scheduler={"name": "hyperband"}),
    "bohb at full fidelity": ours("bohb", climbs=False),
    "auto": ours("bohb", None, scheduler={"name": "hyperband"}, **AUTO),
    "auto, one at a time": ours("bohb", 1, scheduler={"name": "hyperband"}, **AUTO),
}
GROUPS = {
    "a": [problems.counting_ones],
    "b": [problems.hartmann3, problems.branin],
    "c": [
        functools.partial(kind, bundle, lowest)
        for kind in (problems.crossover, problems.breakout, problems.three_filters)
        for bundle, lowest in (("sample", 1 / 3), ("fx", 1 / 9))
    ],
    "d": [functools.partial(problems.small, bundle, n) for bundle in ("sample", "fx") for n in (5, 10)],
    "e": [
        lambda: problems.either(problems.crossover("sample", 1 / 3), problems.reversion("sample", 1 / 3)),
        lambda: problems.fast_below_slow("sample", 1 / 3),
        lambda: problems.with_failures(problems.crossover("fx", 1 / 9)),
    ],
    "f": [problems.levy, problems.griewank, problems.rastrigin, problems.zakharov],
}
"""Problems by group, created when needed."""
SLOW = ("hpbandster", "Optuna TPE univariate", "Optuna TPE with its Hyperband pruner")
"""Excluded from (c): a thousand evaluations take minutes per seed."""
NO_CONDITIONS = ("Optuna TPE with its Hyperband pruner",)


def run_group(group, options):
    """Yields each problem of a group with the results by tool."""
    for make_problem in GROUPS[group]:
        problem = make_problem()
        if options.problem not in problem.name:
            continue
        found = {}
        for tool in options.tools.split("|"):
            if tool in NO_CONDITIONS and (problem.space.conditions or problem.space.forbidden):
                continue
            if group == "c" and tool in SLOW:
                continue
            tasks = [(tool, MOST[group], seed) for seed in range(options.seeds)]
            with multiprocessing.get_context("fork").Pool(options.processes, _receive, (problem,)) as pool:
                courses = pool.starmap(_course, tasks, 1)
            found[tool] = came_to(problem, courses, max(AT) if tool == OPTUNA else MOST[group])
            shown = ", ".join(f"{np.median([c.at(at) for c in courses]):.3g} at {at}" for at in AT)
            print(f"{problem.name:<40} {tool:<30} {shown}", file=sys.stderr, flush=True)
        yield problem, found


def came_to(problem, courses, most):
    """Returns the saved data of courses: by seed the regrets, the cost to get near and the time; the cost and the code version."""
    near = NEAR * abs(problem.best) / problem.scale
    return {
        "code": _code(),
        "most": most,
        "date": time.strftime("%Y-%m-%d"),
        "regret": {str(at): [course.at(at) for course in courses] for at in AT},
        "near": [course.until(near) for course in courses],
        "ms": [1e3 * course.seconds for course in courses],
    }


@functools.cache
def _code():
    found = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or rbt.__version__


def _receive(problem):
    global _problem
    _problem = problem
    warnings.simplefilter("ignore")


def _course(tool, most, seed):
    return TOOLS[tool](_problem, most, seed)


def grid_costs(problem, seeds):
    """Returns the cost until a grid in random order is near the best, by seed."""
    n = problem.space.grid_size
    losses = problem.loss(problem.space.grid(0, n), 1.0, None)
    near = np.flatnonzero(losses <= problem.best + NEAR * abs(problem.best))
    rng = np.random.default_rng(9)
    return np.array([1 + rng.permutation(n)[: len(near)].min() for _ in range(seeds)])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", default="abcdef")
    parser.add_argument("--tools", default="|".join(TOOLS), help="names, with | between them")
    parser.add_argument("--problem", default="", help="only those with this in their name")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="2 seeds of group d")
    parser.add_argument("--write", type=Path, help="a folder for search_quality.md and its data")
    options = parser.parse_args()
    if options.quick:
        options.groups, options.seeds = "d", 2
    kept = options.write / "search_quality.json" if options.write else None
    results = json.loads(kept.read_text()) if kept is not None and kept.exists() else {}
    groups = "Groups:" + __doc__.partition("Groups:")[2].partition("\n\nWith `--write`")[0]
    for group in options.groups:
        for problem, found in run_group(group, options):
            of_problem = results.setdefault(group, {}).setdefault(problem.name, {"grid": None, "tools": {}})
            of_problem["tools"] |= found
            if group == "c" and of_problem["grid"] is None:
                of_problem["grid"] = grid_costs(problem, options.seeds).tolist()
            if kept is not None:  # after each problem: the later ones take long
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(results) + "\n")
                kept.with_suffix(".md").write_text(page(results, groups))
    print(page(results, groups))


if __name__ == "__main__":
    main()
