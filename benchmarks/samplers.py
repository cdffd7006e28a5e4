"""How close samplers come to the best config of known functions and strategies, at full fidelity.

    python benchmarks/samplers.py [--seeds 20] [--processes 2] [--cases branin,hartmann6] [--samplers tpe,kde] [--open 1,24]

True regret after 30, 60 and 100 evaluations: the best loss found less the least there is; the median over seeds, with a
95 % bootstrap interval. `--open` is how many trials are pending while the next config is proposed. The same seeds serve
every sampler. Nothing is asserted.
"""

import argparse
import functools
import multiprocessing
import os
import tempfile
import time
import warnings

import numpy as np

import rbt_ray as rbt
from rbt_ray.study.space import Space

AT = (30, 60, 100)


class Continuous:
    """A function on the unit cube, and its least value."""

    def __init__(self, n_params, least, function):
        self.space = Space.of({f"x{k}": rbt.uniform(0.0, 1.0) for k in range(n_params)})
        self.least, self._function = least, function

    def loss(self, point):
        return float(self._function(point))


def branin():
    def value(u):
        x, y = 15 * u[0] - 5, 15 * u[1]
        return (y - 5.1 / (4 * np.pi**2) * x**2 + 5 / np.pi * x - 6) ** 2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x) + 10

    return Continuous(2, 0.397887, value)


ALPHA = np.array([1.0, 1.2, 3.0, 3.2])


def hartmann3():
    a = np.array([[3, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]])
    p = np.array([[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]]) * 1e-4
    return Continuous(3, -3.86278, lambda x: -(ALPHA * np.exp(-(a * (x - p) ** 2).sum(1))).sum())


def hartmann6():
    a = np.array(
        [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
    )
    p = 1e-4 * np.array([
        [1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381],
    ])  # fmt: skip
    return Continuous(6, -3.32237, lambda x: -(ALPHA * np.exp(-(a * (x - p) ** 2).sum(1))).sum())


class CountingOnes:
    """Falkner et al. (2018), section 5.1, at full fidelity: minus the share of ones."""

    least = -1.0

    def __init__(self):
        self.space = Space.of(
            {f"c{k}": rbt.choice([0, 1]) for k in range(4)} | {f"x{k}": rbt.uniform(0.0, 1.0) for k in range(4)}
        )

    def loss(self, point):
        return -float(point.mean())


class Strategy:
    """A built-in strategy whose whole grid is known."""

    def __init__(self, objective, param_space, bundle):
        with tempfile.TemporaryDirectory() as folder:
            grid = rbt.Tuner(
                objective,
                param_space=param_space,
                bundle=bundle,
                tune_config=rbt.TuneConfig(metric="sharpe", mode="max", search_alg="grid"),
                run_config=rbt.RunConfig(name="grid", storage_path=folder, verbose=0, recheck=0, backend="local"),
            ).fit()
            table = grid.table
            self.space = table.study.space
            self._losses = {
                point.tobytes(): loss for point, loss in zip(table.points, table.loss.tolist(), strict=True)
            }
            self.least = float(np.nanmin(table.loss))
        rbt.shutdown()

    def loss(self, point):
        return self._losses[point.tobytes()]


def sma_cross(bundle):
    space = {"fast": rbt.randint(5, 61), "slow": rbt.randint(20, 251)}
    return Strategy(rbt.objectives.sma_cross(), space, bundle)


def breakout(bundle):
    return Strategy(rbt.objectives.breakout(), {"entry": rbt.randint(2, 201), "exit": rbt.randint(2, 101)}, bundle)


CASES = {
    "counting ones 4+4": CountingOnes,
    "branin": branin,
    "hartmann3": hartmann3,
    "hartmann6": hartmann6,
    "sma_cross sample": lambda: sma_cross("sample"),
    "sma_cross fx": lambda: sma_cross("fx"),
    "breakout sample": lambda: breakout("sample"),
}


def kde(space, seed, **options):
    from rbt_ray.search.bohb import BOHB

    return BOHB(**options).sampler(space, seed)


def optuna(space, seed):
    from rbt_ray.search.optuna_sampler import OptunaSampler

    return OptunaSampler(space, seed=seed)


class Random:
    def __init__(self, space, seed):
        from rbt_ray.search.random_search import RandomSearch

        self._search = RandomSearch(space, seed=seed)

    def sample(self):
        return self._search.ask(1).points[0]

    def learn(self, point, fidelity, loss):
        pass


SAMPLERS = {
    "random": Random,
    "kde": kde,
    "tpe": functools.partial(kde, model="tpe"),
    "hpbandster": functools.partial(kde, engine="hpbandster"),
    "optuna": optuna,
}


def regrets(case, sampler, seed, n_open):
    """The regret after each of `AT` evaluations, and the seconds a proposal took."""
    search = sampler(case.space, seed)
    pending, told, best, at, spent = [], 0, np.inf, [], 0.0
    while told < AT[-1]:
        while len(pending) < n_open:
            start = time.perf_counter()
            pending.append(search.sample())
            spent += time.perf_counter() - start
        point = pending.pop(0)
        loss = case.loss(point)
        start = time.perf_counter()
        search.learn(point, 1.0, loss)
        spent += time.perf_counter() - start
        told += 1
        best = np.nanmin([best, loss])
        if told in AT:
            at.append(best - case.least)
    return [*at, spent / (AT[-1] + n_open)]


def _one(task):
    warnings.simplefilter("ignore")
    case, sampler, seed, n_open = task
    return regrets(_case(case), SAMPLERS[sampler], seed, n_open)


@functools.cache
def _case(name):
    return CASES[name]()


def median_with_interval(values):
    draws = np.random.default_rng(0).choice(values, (2_000, len(values)))
    return np.median(values), *np.percentile(np.median(draws, axis=1), [2.5, 97.5])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--samplers", default=",".join(SAMPLERS))
    parser.add_argument("--open", default="1,24")
    options = parser.parse_args()
    cases, samplers = options.cases.split(","), options.samplers.split(",")
    print(
        f"{'case':<18} {'open':>4} {'sampler':<12}" + "".join(f"{f'regret at {n}':>26}" for n in AT) + "   ms a config"
    )
    for name in cases:
        _case(name)  # before the fork, so that a grid is swept once
    with multiprocessing.get_context("fork").Pool(options.processes) as pool:
        for name in cases:
            for n_open in map(int, options.open.split(",")):
                for sampler in samplers:
                    found = np.array(
                        pool.map(_one, [(name, sampler, seed, n_open) for seed in range(options.seeds)], 1)
                    )
                    cells = ("{:.4f} [{:.4f}, {:.4f}]".format(*median_with_interval(column)) for column in found.T[:-1])
                    print(f"{name:<18} {n_open:>4} {sampler:<12}" + "".join(f"{cell:>26}" for cell in cells)
                          + f"   {1e3 * np.median(found[:, -1]):11.3f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
