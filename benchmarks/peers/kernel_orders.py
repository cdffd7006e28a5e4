"""rbt_ray at order level: 400 crossovers on 8 x 5,124 bars, holdings drift, one account for all symbols; a study on two workers."""

import argparse

import kernel
import numpy as np

import rbt_ray as rbt
from benchmarks.crossover import old_bundle


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
    bundle = old_bundle()
    seconds = kernel.seconds_of_studies(objective, bundle, kernel.FAST, kernel.SLOW, options.runs)
    found = np.stack([equity(fast, slow, bundle.view()).equity for fast, slow in kernel.PAIRS], axis=1)
    kernel.tell(seconds, len(kernel.PAIRS), kernel.figures(found))


if __name__ == "__main__":
    main()
