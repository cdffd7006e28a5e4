"""Shared by the scripts of the kernel comparison: prices, pairs of windows, and the output of each run."""

import json
import tempfile
import time

import numpy as np

import rbt_ray as rbt

FAST, SLOW = tuple(range(5, 25)), tuple(range(30, 130, 5))
PAIRS = [(fast, slow) for fast in FAST for slow in SLOW]
COST_BPS = 5
CASH = 100_000.0
MARGIN = 1e-9
"""rbt_ray's tie rule, which all tools use: above means above by 1e-9, so that the order of summation does not matter."""


def seconds_of_studies(objective, bundle, fast, slow, runs):
    """Seconds of each of `runs` studies of the whole grid on two warm workers; one before them does not count."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(runs + 1):
            began = time.perf_counter()
            rbt.Tuner(
                objective,
                param_space={"fast": rbt.grid_search(fast), "slow": rbt.grid_search(slow)},
                bundle=bundle,
                tune_config=rbt.TuneConfig(metric="total_return", search_alg="grid"),
                run_config=rbt.RunConfig(
                    name=f"s{time.monotonic_ns()}", storage_path=folder, backend="local", num_workers=2, verbose=0, recheck=0
                ),
            ).fit()  # fmt: skip
            seconds.append(time.perf_counter() - began)
    rbt.shutdown()
    return seconds[1:]


def figures(equity):
    """Of ``(n_bars, n_configs)`` equity, 1 at the start: what two runs must agree in, ``(3, n_configs)``."""
    peak = np.maximum.accumulate(equity, axis=0)
    return np.array([equity[-1], equity.mean(axis=0), (equity / peak).min(axis=0)])


def tell(seconds, n, found=None):
    """Prints the line of JSON that the driver reads: seconds of each run, configs a run, and figures to compare."""
    print()
    print(
        json.dumps({"seconds_each": seconds, "n": n, "figures": None if found is None else np.asarray(found).tolist()})
    )
