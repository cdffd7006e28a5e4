"""Order level against vectorbt and backtesting.py on real prices, at a fee of 0.1 % and a slippage of 0.05 %."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import rbt_ray as rbt
from rbt_ray.simulate import indicators

FEE_BPS, SLIPPAGE_BPS = 10, 5
COSTS = rbt.Costs(turnover_bps=FEE_BPS, slippage_bps=SLIPPAGE_BPS)


def monthly(bundle: rbt.Bundle, gross: float) -> np.ndarray:
    """An equal share for each listed symbol, a little different each month so that each month trades."""
    listed = ~np.isnan(bundle.close)
    months = bundle.index.astype("datetime64[M]").astype(int)
    first = np.searchsorted(months, months)  # the month's first bar decides for all of it
    tilt = 1 - 0.1 * ((months[:, None] + np.arange(bundle.n_symbols)) % 3)
    weights = np.where(
        listed[first] & listed, gross / np.maximum(listed[first].sum(axis=1, keepdims=True), 1) * tilt, 0
    )
    return np.where(listed, weights, 0.0)


def long_short(bundle: rbt.Bundle, gross: float) -> np.ndarray:
    fast, slow = indicators.sma(bundle.close, 10), indicators.sma(bundle.close, 50)
    return np.where(np.isnan(slow), 0.0, np.where(fast > slow, 1.0, -0.5)) * gross / bundle.n_symbols


def of_symbols(bundle: rbt.Bundle, *symbols: str) -> rbt.Bundle:
    columns = [bundle.symbols.index(symbol) for symbol in symbols]
    fields = {field: bundle[field][:, columns] for field in ("open", "high", "low", "close", "volume")}
    return rbt.Bundle.from_arrays(fields, bundle.index, symbols)


@pytest.mark.slow  # vectorbt compiles itself in each process
@pytest.mark.parametrize(
    ("symbols", "weigh", "gross", "whole_units"),
    [
        (("AAPL", "GOOG", "IBM", "MSFT"), monthly, 0.95, False),
        (("AAPL", "FB", "GOOG", "IBM", "MSFT"), monthly, 1.2, False),  # cash binds
        (("AAPL", "FB", "GOOG", "IBM", "MSFT"), long_short, 1.0, False),
        (("AAPL", "GOOG", "IBM", "MSFT"), monthly, 0.95, True),
        (("IBM",), long_short, 0.7, False),
    ],
)
def test_vectorbt_target_weights(sample, symbols, weigh, gross, whole_units):
    import vectorbt as vbt

    bundle = of_symbols(sample, *symbols)
    weights = weigh(bundle, gross)
    run = rbt.backtest(bundle, weights, "next_open", "on_change", COSTS, whole_units=whole_units)

    # vectorbt orders wherever there is a size: leave one only where a symbol's target changes.
    sizes = pd.DataFrame(weights).shift(1)
    sizes = sizes.where(sizes.ne(sizes.shift(1).fillna(0.0)))
    opens = pd.DataFrame(bundle.open)
    peer = vbt.Portfolio.from_orders(
        pd.DataFrame(bundle.close),
        size=sizes,
        size_type="targetpercent",
        price=opens,
        val_price=opens,
        fees=FEE_BPS / 1e4,
        slippage=SLIPPAGE_BPS / 1e4,
        size_granularity=1 if whole_units else np.nan,
        group_by=True,
        cash_sharing=True,
        call_seq="auto",
        init_cash=100_000.0,
    )
    assert len(peer.orders.values) == run.orders.sum()
    assert run.orders.sum() > 50
    # Both take the same sums in the same order up to a few roundings a bar.
    np.testing.assert_allclose(run.equity, peer.value().to_numpy() / 100_000.0, rtol=1e-14)


@pytest.mark.slow
def test_vectorbt_all_in_and_out(sample):
    import vectorbt as vbt

    bundle = of_symbols(sample, "AAPL")
    held = indicators.sma(bundle.close, 10) > indicators.sma(bundle.close, 50)
    run = rbt.backtest(bundle, held, "next_open", "on_change", COSTS)
    before = np.vstack([[[False]], held[:-1]])
    later = (
        pd.DataFrame(held & ~before).shift(1, fill_value=False),
        pd.DataFrame(~held & before).shift(1, fill_value=False),
    )
    peer = vbt.Portfolio.from_signals(
        pd.DataFrame(bundle.close),
        *later,
        price=pd.DataFrame(bundle.open),
        size=np.inf,
        fees=FEE_BPS / 1e4,
        slippage=SLIPPAGE_BPS / 1e4,
    )
    np.testing.assert_allclose(run.equity, peer.value().to_numpy()[:, 0] / 100.0, rtol=1e-14)


def test_backtesting_py_in_whole_units(sample):
    from backtesting import Backtest, Strategy

    bundle = of_symbols(sample, "AAPL")
    held = indicators.sma(bundle.close, 10) > indicators.sma(bundle.close, 50)
    run = rbt.backtest(
        bundle, held, "next_open", "on_change", rbt.Costs(turnover_bps=FEE_BPS), whole_units=True, initial_cash=1e5
    )

    class Crossing(Strategy):
        def init(self):
            self.held = self.I(lambda: held[:, 0].astype(float))

        def next(self):
            if self.held[-1] and not self.position:
                self.buy(size=0.9999999999)
            elif not self.held[-1] and self.position:
                self.position.close()

    frame = pd.DataFrame(
        {field.capitalize(): bundle[field][:, 0] for field in bundle.fields}, index=pd.DatetimeIndex(bundle.index)
    )
    peer = Backtest(
        frame, Crossing, cash=1e5, commission=FEE_BPS / 1e4, spread=0, trade_on_close=False, finalize_trades=False
    ).run()
    assert run.orders.sum() > 50
    np.testing.assert_allclose(run.equity * 1e5, peer["_equity_curve"]["Equity"].to_numpy(), rtol=1e-14)
