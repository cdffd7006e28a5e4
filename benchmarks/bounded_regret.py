"""Regret of models that keep 2,048 results against that of models that keep all, in pairs with many trials open.

    python benchmarks/bounded_regret.py [--evaluations 6000] [--open 2000] [--seeds 15] [--processes 2] [--quick]

Each search runs twice for each seed: by a study's definition of today, and by one that records no bound. All evaluations are
at full fidelity, and results arrive in order. The difference is that of log10 regret, bounded less unbounded, so that a
number below 0 favors the bound. It is the mean over seeds with a 95 % bootstrap interval. Nothing is asserted.
"""

import argparse
import functools
import multiprocessing
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import problems
from benchmarks.search_quality import driven, study_of
from rbt_ray.search.encoding import MOST_RESULTS
from rbt_ray.search.registry import AUTO, make_searcher

PROBLEMS = {kind.__name__: functools.cache(kind) for kind in (problems.levy, problems.rastrigin, problems.hartmann3)}
SEARCHES = {"auto": asdict(AUTO), "bohb": {}}
LEAST_REGRET = 1e-9


def log_regret(name, search, bound, seed, evaluations, n_open):
    """Returns log10 of the regret of a search after so many evaluations."""
    problem = PROBLEMS[name]()
    study = replace(study_of(problem, "bohb", seed, climbs=False, **SEARCHES[search]), most_results=bound)
    regret = driven(make_searcher(study), problem, evaluations, seed, n_open).regret[-1]
    return float(np.log10(max(regret, LEAST_REGRET)))


def _pair(task):
    name, search, seed, evaluations, n_open = task
    return name, search, [log_regret(name, search, bound, seed, evaluations, n_open) for bound in (MOST_RESULTS, None)]


def mean_with_interval(differences):
    """Returns the mean, and the bounds of its 95 % bootstrap interval."""
    drawn = np.random.default_rng(0).choice(differences, (10_000, len(differences))).mean(axis=1)
    return float(np.mean(differences)), *np.quantile(drawn, [0.025, 0.975]).tolist()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluations", type=int, default=6000)
    parser.add_argument("--open", type=int, default=2000, help="how many trials are open")
    parser.add_argument("--seeds", type=int, default=15)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="one seed of few evaluations")
    options = parser.parse_args()
    if options.quick:
        options.evaluations, options.open, options.seeds = 60, 20, 1
    tasks = [
        (name, search, seed, options.evaluations, options.open)
        for seed in range(options.seeds)
        for name in PROBLEMS
        for search in SEARCHES
    ]
    found = {}
    with multiprocessing.get_context("fork").Pool(options.processes) as pool:
        for name, search, both in pool.imap_unordered(_pair, tasks):
            found.setdefault((search, name), []).append(both)
            print(name, search, *both, file=sys.stderr, flush=True)
    print("search  problem        seeds  log10 regret: bounded  unbounded  difference [95 % interval]")
    for (search, name), pairs in sorted(found.items()):
        bounded, unbounded = np.transpose(pairs)
        mean, low, high = mean_with_interval(bounded - unbounded)
        print(
            f"{search:<7} {name:<14} {len(pairs):>5} {bounded.mean():>22.3f} {unbounded.mean():>10.3f} "
            f"{mean:>11.3f} [{low:.3f}, {high:.3f}]"
        )


if __name__ == "__main__":
    main()
