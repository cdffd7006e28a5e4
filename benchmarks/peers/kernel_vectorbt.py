"""vectorbt on the same 400 crossovers, all in one broadcast portfolio, as its documentation has it.

--accounts shared    one account for the 8 symbols of a config: target percent, cash shared, sells before buys
--accounts own       one account a symbol, from_signals: the shortest way to write it, and its fastest
"""

import argparse
import time

import kernel
import numpy as np
import pandas as pd
import vectorbt as vbt

from benchmarks.crossover import old_bundle


def held(close):
    """``(n_bars, n_configs * n_symbols)`` positions decided on each close, the symbols of a config side by side."""
    fast = vbt.MA.run(close, kernel.FAST).ma.to_numpy().reshape(len(close), len(kernel.FAST), 1, -1)
    slow = vbt.MA.run(close, kernel.SLOW).ma.to_numpy().reshape(len(close), 1, len(kernel.SLOW), -1)
    above = fast > slow * (1 + kernel.MARGIN)
    columns = pd.MultiIndex.from_product([kernel.FAST, kernel.SLOW, close.columns], names=["fast", "slow", "symbol"])
    return pd.DataFrame(above.reshape(len(close), -1), close.index, columns)


def shared(close):
    targets = held(close).shift(1, fill_value=False) / close.shape[1]
    before = targets.shift(1, fill_value=0.0)
    return vbt.Portfolio.from_orders(
        close.vbt.tile(len(kernel.PAIRS), keys=pd.MultiIndex.from_tuples(kernel.PAIRS, names=["fast", "slow"])),
        size=targets.where(targets != before),
        size_type="targetpercent",
        fees=kernel.COST_BPS / 1e4,
        group_by=["fast", "slow"],
        cash_sharing=True,
        call_seq="auto",
        init_cash=kernel.CASH,
        freq="1D",
    )


def own(close):
    above = held(close).shift(1, fill_value=False)
    prices = close.vbt.tile(len(kernel.PAIRS), keys=pd.MultiIndex.from_tuples(kernel.PAIRS, names=["fast", "slow"]))
    return vbt.Portfolio.from_signals(
        prices, above, ~above, fees=kernel.COST_BPS / 1e4, init_cash=kernel.CASH, freq="1D"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", choices=("shared", "own"), default="shared")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    vbt.settings.array_wrapper["freq"] = "1D"
    bundle = old_bundle()
    close = pd.DataFrame(np.array(bundle.close), pd.DatetimeIndex(bundle.index), list(bundle.symbols))
    seconds = []
    for _ in range(options.runs + 1):
        began = time.perf_counter()
        portfolio = {"shared": shared, "own": own}[options.accounts](close)
        portfolio.sharpe_ratio(), portfolio.total_return(), portfolio.max_drawdown()
        seconds.append(time.perf_counter() - began)
    value = portfolio.value().to_numpy() / kernel.CASH
    kernel.tell(seconds[1:], len(kernel.PAIRS), kernel.figures(value) if options.accounts == "shared" else None)


if __name__ == "__main__":
    main()
