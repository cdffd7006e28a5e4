"""Memory cost of a bundle per worker: its private memory after reading every bar of a large bundle, less that of a small one.

    python benchmarks/bundle_memory.py [--mb 500] [--backend local] [--data docs/benchmarks.json]

Both bundles are random walks, ingested and so mapped from one file, or on Ray from one object in its store. Two workers
read every value of every field, again and again, and tell their unique set size (USS) each time. A page of the file
counts as private while one process alone has mapped it, so what counts is a worker's last reading, when the other has
read everything, too. Beside it: private dirty memory, which holds no page of the file in any case. Then the time from a
worker that is ready to its first trial, which is what loading the objective and the bundle takes. The built-in
objectives sweep both bundles as well.
"""

import argparse
import os
import tempfile
import time

import numpy as np

import rbt_ray as rbt
from benchmarks.record import add_data_option, record
from rbt_ray import objectives
from rbt_ray.pool.job import Task
from rbt_ray.pool.pool import Batch
from rbt_ray.study.space import Space

N_SYMBOLS = 50
FIELDS = ("open", "high", "low", "close", "volume")
SMALL_MB = 1
N_WORKERS, N_READINGS, N_STARTS = 2, 12, 3


def objective(params, data):
    """Reads every value, and returns the memory of the worker afterwards."""
    import psutil

    total = sum(float(data[field].sum()) for field in data.fields)
    memory = [part for part in psutil.Process().memory_maps(grouped=False) if part.private_dirty]
    return {
        "total": total,
        "uss_mb": psutil.Process().memory_full_info().uss / 1e6,
        "dirty_mb": sum(part.private_dirty for part in memory) / 1e6,
    }


def ingested(name, megabytes, seed):
    """Returns a bundle of about that size, with `N_SYMBOLS` symbols and minute bars."""
    n_bars = max(300, round(megabytes * 1e6 / 8 / N_SYMBOLS / len(FIELDS)))
    steps = np.random.default_rng(seed).normal(0, 1e-4, (n_bars, N_SYMBOLS))
    close = 100 * np.exp(np.cumsum(steps, axis=0))
    fields = {"open": close, "high": close, "low": close, "close": close, "volume": close}
    index = np.datetime64("2000-01-03", "ns") + np.arange(n_bars) * np.timedelta64(60, "s")
    symbols = [f"S{i:02d}" for i in range(N_SYMBOLS)]
    return rbt.ingest(name, rbt.Bundle.from_arrays(fields, index, symbols, periods_per_year=252 * 390))


def start_pool(backend):
    """Two new workers."""
    if backend == "ray":
        from rbt_ray.pool.ray.pool import RayPool

        pool = RayPool(N_WORKERS)
    else:
        from rbt_ray.pool.local.pool import LocalPool

        pool = LocalPool(N_WORKERS)
    while len(pool.pids()) < N_WORKERS:
        pool.wait(0.1)
    return pool


def seconds_to_first_trials(backend, bundle, n_starts):
    """Time from submitting the first batch of each of two new workers to its start, for several pools."""
    space = Space.of({"x": rbt.uniform(0, 1)})
    for _ in range(n_starts):
        pool = start_pool(backend)
        job = Task(lambda params, data: float(data.close[-1, 0]), space, "score", 1, pool.share(bundle), bundle.n_bars)
        packed, began = job.pack(), time.time()
        for number in range(N_WORKERS):
            pool.submit(Batch(number, packed, np.array([number]), np.array([[0.5]])))
        returned = []
        while len(returned) < N_WORKERS:
            returned += pool.wait()
        yield from (one.started - began for one in returned)
        pool.close()


def study(score, space, bundle, metric, place, backend):
    """Results on two new workers."""
    rbt.shutdown()
    return rbt.Tuner(
        score,
        param_space=space,
        bundle=bundle,
        tune_config=rbt.TuneConfig(metric=metric, search_alg="grid"),
        run_config=rbt.RunConfig(
            name=f"memory-{time.monotonic_ns()}",
            storage_path=place,
            backend=backend,
            num_workers=N_WORKERS,
            verbose=0,
            recheck=0,
        ),
    ).fit()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=float, default=500, help="size of the large bundle")
    parser.add_argument("--backend", default="local")
    add_data_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.environ["RBT_RAY_HOME"] = f"{place}/home"
        bundles = {"small": ingested("small", SMALL_MB, 1), "large": ingested("large", options.mb, 2)}
        found, measured = {}, {name: {"mb": bundle.nbytes / 1e6} for name, bundle in bundles.items()}
        for name, bundle in bundles.items():
            readings = rbt.grid_search(list(range(N_READINGS)))
            results = study(objective, {"reading": readings}, bundle, "total", place, options.backend)
            last = {result.worker: result.metrics for result in results}
            measured[name]["uss_mb"] = [metrics["uss_mb"] for metrics in last.values()]
            measured[name]["dirty_mb"] = [metrics["dirty_mb"] for metrics in last.values()]
            found[name] = np.array([max(measured[name]["uss_mb"]), max(measured[name]["dirty_mb"])])
            print(
                f"{bundle.nbytes / 1e6:7.1f} MB bundle, {len(last)} workers: USS {found[name][0]:.1f} MB, "
                f"private dirty {found[name][1]:.1f} MB"
            )
        uss, dirty = found["large"] - found["small"]
        print(f"what a worker pays for the large bundle: USS {uss:.1f} MB, private dirty {dirty:.1f} MB")
        rbt.shutdown()
        for name, bundle in bundles.items():
            waits = np.array(list(seconds_to_first_trials(options.backend, bundle, N_STARTS))) * 1e3
            measured[name]["to_first_trial_ms"] = waits.tolist()
            print(
                f"a ready worker begins with its first trial on the {name} bundle after {np.median(waits):.0f} ms "
                f"[{waits.min():.0f}, {waits.max():.0f}]"
            )
        for name, bundle in bundles.items():
            for strategy in sorted(objectives.BUILTIN):
                score = getattr(objectives, strategy)()
                space = {param: rbt.grid_search([value]) for param, value in score.example.items()}
                start = time.perf_counter()
                results = study(score, space, bundle, "sharpe", place, options.backend)
                print(
                    f"{strategy:<15} on the {name} bundle: {results.num_terminated} of {len(results)} completed in "
                    f"{time.perf_counter() - start:.1f} s, the worker's start included"
                )
        rbt.shutdown()
    record(options.data, f"bundle_memory {options.backend}", {"workers": N_WORKERS, "bundles": measured})


if __name__ == "__main__":
    main()
