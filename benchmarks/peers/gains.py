"""Where a sweep's gain comes from: the same numpy function on a kept Pool, with malloc's thresholds raised, on rbt_ray;
then rbt_ray's memoized indicators, and its kernel.

    python benchmarks/peers/gains.py WAY [--runs 10]
"""

import argparse
import tempfile
import time
from functools import partial
from multiprocessing import Pool

import kernel
import numpy as np

import rbt_ray as rbt
from benchmarks.crossover import old_bundle

WORKERS = 2
CONFIGS = [{"fast": fast, "slow": slow} for fast, slow in kernel.PAIRS]


def average(close, window):
    """``(n_bars, n_symbols)`` moving average by cumulative sums, NaN at first, as one writes it in numpy."""
    sums = np.cumsum(close, axis=0)
    out = np.full(close.shape, np.nan)
    out[window - 1] = sums[window - 1] / window
    out[window:] = (sums[window:] - sums[:-window]) / window
    return out


def sharpe(close, params):
    """The user's own function, in numpy: decided on a close, held from the next one, costs on turnover."""
    above = average(close, params["fast"]) > average(close, params["slow"]) * (1 + kernel.MARGIN)
    weights = np.vstack([np.zeros((1, close.shape[1])), above[:-1] / close.shape[1]])
    before = np.vstack([np.zeros((1, close.shape[1])), weights[:-1]])
    returns = np.zeros(len(close))
    returns[1:] = (before[1:] * (close[1:] / close[:-1] - 1)).sum(axis=1)
    returns -= kernel.COST_BPS / 1e4 * np.abs(weights - before).sum(axis=1)
    return float(returns.mean() / returns.std(ddof=1) * np.sqrt(252))


def hold(close):
    global held
    held = close


def of_held(params):
    return sharpe(held, params)


def of_view(params, data):
    return sharpe(data.close, params)


def memoized(params, data):
    above = data.sma("close", params["fast"]) > data.sma("close", params["slow"]) * (1 + kernel.MARGIN)
    return rbt.backtest(data, above / data.n_symbols, costs=rbt.Costs(turnover_bps=kernel.COST_BPS))


def on_pool(runs):
    with Pool(WORKERS, hold, (np.array(old_bundle().close),)) as pool:
        for _ in range(runs):
            yield lambda: pool.map(of_held, CONFIGS, len(CONFIGS) // (8 * WORKERS))


def on_rbt_ray(objective, runs):
    bundle = old_bundle()
    space = {"fast": rbt.grid_search(kernel.FAST), "slow": rbt.grid_search(kernel.SLOW)}
    folder = tempfile.TemporaryDirectory()

    def study():
        results = rbt.Tuner(
            objective,
            param_space=space,
            bundle=bundle,
            tune_config=rbt.TuneConfig(metric="sharpe", search_alg="grid"),
            run_config=rbt.RunConfig(
                name=f"s{time.monotonic_ns()}", storage_path=folder.name, backend="local", num_workers=WORKERS, verbose=0,
                recheck=0,
            ),
        ).fit()  # fmt: skip
        return lambda: [result.metrics["sharpe"] for result in results]

    for _ in range(runs):
        yield study


WAYS = {
    "Pool, reused": on_pool,
    "Pool, reused, malloc's thresholds raised": on_pool,
    "rbt_ray, the same function": partial(on_rbt_ray, of_view),
    "rbt_ray, its indicators and backtest": partial(on_rbt_ray, memoized),
    "rbt_ray, its kernel": partial(on_rbt_ray, rbt.objectives.sma_cross(turnover_bps=kernel.COST_BPS)),
}
RAISED = {
    "MALLOC_TRIM_THRESHOLD_": str(2**25),
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TOP_PAD_": str(2**20),
}  # fmt: skip
"""The environment of the second way: what rbt_ray's workers do for themselves."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=list(WAYS))
    parser.add_argument("--runs", type=int, default=10)
    options = parser.parse_args()
    seconds, found = [], None
    for run in WAYS[options.way](options.runs + 1):
        began = time.perf_counter()
        found = run()
        seconds.append(time.perf_counter() - began)
    if callable(found):
        found = found()
    rbt.shutdown()
    kernel.tell(seconds[1:], len(CONFIGS), np.sort(found))


if __name__ == "__main__":
    main()
