"""rbt_ray at order level: 400 crossovers on 8 x 5,124 bars, holdings drift, one account for all symbols; a study on two workers."""

import argparse
import tempfile
import time

import kernel
import numpy as np

import rbt_ray as rbt


def equity(fast, slow, data):
    held = data.sma("close", fast) > data.sma("close", slow) * (1 + kernel.MARGIN)
    return rbt.backtest(
        data, held / data.n_symbols, rebalance="on_change", costs=rbt.Costs(turnover_bps=kernel.COST_BPS)
    )


def objective(params, data):
    return equity(params["fast"], params["slow"], data)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    bundle, seconds = kernel.fx(), []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.runs + 1):
            began = time.perf_counter()
            rbt.Tuner(
                objective,
                param_space={"fast": rbt.grid_search(kernel.FAST), "slow": rbt.grid_search(kernel.SLOW)},
                bundle=bundle,
                tune_config=rbt.TuneConfig(metric="total_return", search_alg="grid"),
                run_config=rbt.RunConfig(
                    name=f"s{time.monotonic_ns()}", storage_path=folder, backend="local", num_workers=2, verbose=0, recheck=0
                ),
            ).fit()  # fmt: skip
            seconds.append(time.perf_counter() - began)
    rbt.shutdown()
    found = np.stack([equity(fast, slow, bundle.view()).equity for fast, slow in kernel.PAIRS], axis=1)
    kernel.tell(seconds[1:], len(kernel.PAIRS), kernel.figures(found))


if __name__ == "__main__":
    main()
