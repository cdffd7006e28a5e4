"""backtesting.py's `optimize` on GOOG: the whole grid, its own process pool of two, equity of every config kept."""

import argparse
import multiprocessing
import os
import time
import warnings

import backtesting
import goog
import kernel
import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy


def crossing(values, fast, slow):
    """1 where held; one indicator that is 0 and not NaN at first, so that no bar is skipped."""
    closes = pd.Series(values)
    return (closes.rolling(fast).mean() > closes.rolling(slow).mean() * (1 + kernel.MARGIN)).astype(float)


class Crossing(Strategy):
    fast, slow = goog.FAST[0], goog.SLOW[0]

    def init(self):
        self.held = self.I(crossing, self.data.Close, self.fast, self.slow)

    def next(self):
        if self.held[-1] and not self.position:
            self.buy(size=0.9999999999)
        elif not self.held[-1] and self.position:
            self.position.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ["TQDM_DISABLE"] = "1"
    # Its documentation has Pool from multiprocessing on Linux; its default is a pool of threads on some versions.
    backtesting.Pool = multiprocessing.get_context("fork").Pool
    backtest = Backtest(
        goog.frame(), Crossing, cash=kernel.CASH, commission=goog.FEE, trade_on_close=False, finalize_trades=False
    )
    seconds = []
    for _ in range(options.runs):
        began = time.perf_counter()
        _, found = backtest.optimize(
            fast=goog.FAST, slow=goog.SLOW, maximize="Equity Final [$]", return_heatmap=True
        )  # fmt: skip
        seconds.append(time.perf_counter() - began)
    table = [found.loc[(fast, slow)] / kernel.CASH for fast in goog.FAST for slow in goog.SLOW]
    kernel.tell(seconds, len(table), np.array(table))


if __name__ == "__main__":
    main()
