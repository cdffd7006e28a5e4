"""Time that warm workers save in a sweep of zipline or RustyBT backtests, in an environment that has one of the two.

    python benchmarks/engines.py year [--rounds 5] [--batch 20] [--workers 2]
    python benchmarks/engines.py whole [--rounds 3] [--batch 8] [--workers 2]

`year`: one-year backtests, a batch at a time, on rbt_ray's warm workers, against processes made for each batch that call
the backtester's own `run_algorithm`: forked from a driver that has imported it, and spawned. `whole`: backtests of all
3,270 sessions, against a pool that stays: RustyBT's own `PersistentWorkerPool`, used directly, or for zipline
`multiprocessing.Pool`. "slim" is the same pool with the metrics that rbt_ray asks for, so that what remains is what the
processes cost. Everybody gets the same configs, cases are interleaved, and total returns must agree to 1e-9. Figures are
medians over the rounds; what is printed by backtests goes to /dev/null.
"""

import argparse
import importlib
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

import rbt_ray as rbt

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "adapters" / "engines"))
import engine_algorithms as algorithms
import engine_bundle

PACKAGE = algorithms.PACKAGE
SPANS = {"year": ("2006-01-03", "2006-12-29"), "whole": ("2001-01-02", "2013-02-28")}
CAPITAL = 1e6


def as_users_run_it(config, span):
    """The total return, by the backtester's `run_algorithm`."""
    start, end = span
    engine_bundle.register(PACKAGE)
    frame = importlib.import_module(PACKAGE).run_algorithm(
        start=pd.Timestamp(start),
        end=pd.Timestamp(end),
        initialize=partial(algorithms.initialize, **config),
        handle_data=algorithms.handle_data,
        capital_base=CAPITAL,
        bundle=engine_bundle.NAME,
        benchmark_returns=pd.Series(0.0, index=pd.date_range(start, end, tz="UTC")),
    )
    return frame["algorithm_period_return"].iloc[-1]


def slim(config, span):
    """The same, with the metrics of rbt_ray."""
    return objective(span)(config).total_return


def objective(span):
    adapter = importlib.import_module(f"rbt_ray.adapters.{PACKAGE}")
    return adapter.objective(
        initialize=algorithms.initialize,
        handle_data=algorithms.handle_data,
        bundle=engine_bundle.NAME,
        start=span[0],
        end=span[1],
        capital_base=CAPITAL,
    )


def silent():
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def in_new_processes(method, workers, run, configs, span):
    with multiprocessing.get_context(method).Pool(workers, silent) as pool:
        return pool.map(partial(run, span=span), configs, chunksize=1)


def persistent(workers):
    if PACKAGE == "rustybt":
        pool = importlib.import_module("rustybt.optimization.persistent_worker_pool").PersistentWorkerPool
        return pool(processes=workers, initializer=silent)
    return multiprocessing.Pool(workers, silent)


def warm(workers, run, configs, span):
    """Time of rbt_ray with workers that have run another study before."""
    points = {name: rbt.choice(sorted({config[name] for config in configs})) for name in configs[0]}
    tuner = rbt.Tuner(
        run,
        param_space=points,
        tune_config=rbt.TuneConfig(
            metric="total_return", search_alg="random", num_samples=len(configs), points_to_evaluate=configs
        ),
        run_config=rbt.RunConfig(
            name=f"s{time.monotonic_ns()}", num_workers=workers, backend="local", verbose=0, recheck=0
        ),
    )
    return [result.metrics["total_return"] for result in tuner.fit()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("span", choices=SPANS)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    rounds, batch = (args.rounds or 5, args.batch or 20) if args.span == "year" else (args.rounds or 3, args.batch or 8)
    span = SPANS[args.span]
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)  # where studies go, and what RustyBT leaves of each run
        engine_bundle.ingest(PACKAGE, Path(place) / "root")
        # RustyBT makes a database of its own on first use, which two processes at once cannot.
        as_users_run_it({"fast": 5, "slow": 30}, SPANS["year"])
        run = objective(span)
        kept = persistent(args.workers)
        cases = {"rbt_ray, warm": partial(warm, args.workers, run)}
        if args.span == "year":
            for method in ("fork", "spawn"):
                cases[f"new processes, {method}"] = partial(in_new_processes, method, args.workers, as_users_run_it)
            cases["new processes, fork, slim"] = partial(in_new_processes, "fork", args.workers, slim)
        else:
            name = type(kept).__name__
            cases[name] = lambda configs, span: kept.map(partial(as_users_run_it, span=span), configs, chunksize=1)
            cases[f"{name}, slim"] = lambda configs, span: kept.map(partial(slim, span=span), configs, chunksize=1)
        rng = np.random.default_rng(0)
        pairs = [{"fast": fast, "slow": slow} for fast in range(3, 20) for slow in range(30, 100)]
        first = [pairs[i] for i in rng.choice(len(pairs), args.workers, replace=False)]
        for name in cases:
            if "new" not in name:  # what stays is warm
                cases[name](first, span)
        walls = {name: [] for name in cases}
        for number in range(rounds):
            configs = [pairs[i] for i in rng.choice(len(pairs), batch, replace=False)]
            answers = {}
            for name in list(cases)[:: 1 if number % 2 else -1]:
                began = time.perf_counter()
                answers[name] = cases[name](configs, span)
                walls[name].append(time.perf_counter() - began)
            for name, answer in answers.items():
                assert np.allclose(answer, answers["rbt_ray, warm"], rtol=1e-9, atol=1e-9), f"{name}: other returns"
        kept.terminate()
        rbt.shutdown()
        distribution = {"zipline": "zipline-reloaded"}.get(PACKAGE, PACKAGE)
        print(
            f"{distribution} {version(distribution)}, Python {platform.python_version()}, {os.cpu_count()} cores, ",
            end="",
        )
        print(f"{args.span}, {batch} configs a batch, {args.workers} workers, {rounds} rounds")
        ours = np.array(walls["rbt_ray, warm"])
        for name, times in walls.items():
            share = ours / np.array(times)
            print(
                f"{name:28} {np.median(times):7.2f} s [{min(times):.2f}, {max(times):.2f}]   rbt_ray takes "
                f"{np.median(share):5.0%} of it [{share.min():.0%}, {share.max():.0%}]"
            )


if __name__ == "__main__":
    main()
