"""Memory cost of a 500 MB bundle per worker: private memory after it has read every value, less that with 1 MB.

    python benchmarks/peers/memory.py WAY

Private is what neither another process has nor a file holds: the smaller of a process's unique set (a page of a file is
in it while one process alone has mapped it) and its anonymous memory (what a fork shares is in it). What a way does with the array is what its documentation has for large read-only data.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

LARGE_MB, SMALL_MB, N_SYMBOLS, WORKERS, READINGS = 500, 1, 50, 2, 8
held = None


def array(megabytes):
    n_bars = max(300, round(megabytes * 1e6 / 8 / N_SYMBOLS))
    return 100 * np.exp(np.random.default_rng(0).normal(0, 1e-4, (n_bars, N_SYMBOLS)).cumsum(axis=0))


def read(values):
    """The reader's process, a sum that has touched every value, and private MB."""
    time.sleep(0.3)  # so that both workers get some
    return psutil.Process().pid, float(values.sum()), private_mb()


def private_mb():
    kb = dict(line.split()[:2] for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    return min(psutil.Process().memory_full_info().uss / 1e6, int(kb["Anonymous:"]) * 1024 / 1e6)


def hold(values):
    global held
    held = values


def read_held(_):
    return read(held)


def fork(values):
    from multiprocessing import get_context

    hold(values)
    with get_context("fork").Pool(WORKERS) as pool:
        return pool.map(read_held, range(READINGS), 1)


def spawn(values):
    from multiprocessing import get_context

    with get_context("spawn").Pool(WORKERS, hold, (values,)) as pool:
        return pool.map(read_held, range(READINGS), 1)


def loky(values):
    from joblib import Parallel, delayed, externals

    found = Parallel(n_jobs=WORKERS, batch_size=1)(delayed(read)(values) for _ in range(READINGS))
    externals.loky.get_reusable_executor().shutdown()
    return found


def ray_put(values):
    import quiet_ray

    ray = quiet_ray.start(WORKERS)
    shared, task = ray.put(values), ray.remote(read)
    found = ray.get([task.remote(shared) for _ in range(READINGS)])
    ray.shutdown()
    return found


def ray_tune(values):
    import quiet_ray

    ray = quiet_ray.start(WORKERS)
    from ray import tune

    def trainable(config, values=None):
        tune.report(dict(zip(("pid", "total", "uss"), read(values), strict=True)))

    with tempfile.TemporaryDirectory() as folder:
        results = tune.Tuner(
            tune.with_parameters(trainable, values=values),
            param_space={"n": tune.grid_search(list(range(READINGS)))},
            tune_config=tune.TuneConfig(reuse_actors=True),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        ).fit()
        found = [tuple(result.metrics[name] for name in ("pid", "total", "uss")) for result in results]
    ray.shutdown()
    return found


def ours(backend, values):
    import rbt_ray as rbt

    def objective(params, data):
        pid, total, uss = read(data.close)
        return {"total": total, "uss": uss, "pid": pid}

    index = np.datetime64("2000-01-03", "ns") + np.arange(len(values)) * np.timedelta64(60, "s")
    symbols = [f"S{i:02d}" for i in range(N_SYMBOLS)]
    with tempfile.TemporaryDirectory() as folder:
        results = rbt.Tuner(
            objective,
            param_space={"n": rbt.grid_search(list(range(READINGS)))},
            bundle=rbt.Bundle.from_arrays({"close": values}, index, symbols, periods_per_year=252 * 390),
            tune_config=rbt.TuneConfig(metric="total", search_alg="grid"),
            run_config=rbt.RunConfig(
                name="memory", storage_path=folder, backend=backend, num_workers=WORKERS, verbose=0, recheck=0
            ),
        ).fit()
        found = [tuple(result.metrics[name] for name in ("pid", "total", "uss")) for result in results]
    rbt.shutdown()
    return found


WAYS = {
    "rbt_ray, local": lambda values: ours("local", values),
    "rbt_ray, Ray": lambda values: ours("ray", values),
    "Pool, fork, a global": fork,
    "Pool, spawn, initargs": spawn,
    "joblib, memory-mapped argument": loky,
    "Ray tasks, ray.put": ray_put,
    "Ray Tune, with_parameters": ray_tune,
}


def last_of_each(found, values):
    """Private MB of the worker that has most, at its last reading."""
    assert all(np.isclose(total, values.sum(), rtol=1e-9) for _, total, _ in found), "other sums"
    last = {pid: uss for pid, _, uss in found}
    assert len(last) == WORKERS, "one worker read it all"
    return max(last.values())


def main():
    way = WAYS[sys.argv[1]]
    mb = []
    for size in (SMALL_MB, LARGE_MB):
        values = array(size)
        mb.append(last_of_each(way(values), values))
    print()
    print(json.dumps({"small_mb": mb[0], "large_mb": mb[1], "added_mb": mb[1] - mb[0]}))


if __name__ == "__main__":
    main()
