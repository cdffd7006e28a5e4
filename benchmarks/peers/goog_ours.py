"""rbt_ray at order level on GOOG: whole units, decided on a close, filled at the next open; a study on two workers."""

import argparse

import goog
import kernel
import numpy as np

import rbt_ray as rbt


def equity(fast, slow, data):
    held = data.sma("close", fast) > data.sma("close", slow) * (1 + kernel.MARGIN)
    return rbt.backtest(
        data, held, "next_open", "on_change", rbt.Costs(turnover_bps=goog.FEE * 1e4), whole_units=True,
        initial_cash=kernel.CASH,
    )  # fmt: skip


def objective(params, data):
    return equity(params["fast"], params["slow"], data)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    bundle = rbt.Bundle.from_frame(goog.long_frame())
    seconds = kernel.seconds_of_studies(objective, bundle, goog.FAST, goog.SLOW, options.runs)
    found = [equity(fast, slow, bundle.view()).equity[-1] for fast in goog.FAST for slow in goog.SLOW]
    kernel.tell(seconds, len(found), np.array(found))


if __name__ == "__main__":
    main()
