"""The built-in objectives against pandas: rolling windows, forward fills and the accounting written out again."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

N_CONFIGS = 6


def held_between(enter: pd.DataFrame, leave: pd.DataFrame) -> pd.DataFrame:
    events = pd.DataFrame(np.nan, enter.index, enter.columns)
    return events.mask(enter, 1.0).mask(leave, 0.0).ffill().fillna(0.0)


def sma_cross(bars, fast, slow):
    close = bars["close"]
    return (close.rolling(int(fast)).mean() > close.rolling(int(slow)).mean() * (1 + 1e-9)).astype(float)


def momentum(bars, lookback, threshold):
    close, window = bars["close"], int(lookback)
    unbroken = close.notna().rolling(window + 1).sum() == window + 1
    return ((close / close.shift(window) - 1 > threshold) & unbroken).astype(float)


def mean_reversion(bars, window, entry, exit):
    close = bars["close"]
    rolling = close.rolling(int(window))
    score = (close - rolling.mean()) / rolling.std()
    return held_between(score < -entry, (score > -exit) | close.isna())


def breakout(bars, entry, exit):
    close = bars["close"]
    highest = bars.get("high", close).rolling(int(entry)).max().shift()
    lowest = bars.get("low", close).rolling(int(exit)).min().shift()
    return held_between(close > highest * (1 + 1e-9), (close * (1 + 1e-9) < lowest) | close.isna())


def rsi(bars, window, low, high):
    close, window = bars["close"], int(window)
    strength = pd.DataFrame(np.nan, close.index, close.columns)
    for symbol in close:
        listed = close[symbol].dropna()
        moves = listed.diff()
        averages = []
        for sign in (1, -1):
            move = (sign * moves).clip(lower=0)
            seeded = move.where(np.arange(len(move)) > window)
            seeded.iloc[window] = move.iloc[1 : window + 1].mean()
            averages.append(seeded.ewm(alpha=1 / window, adjust=False).mean())
        strength.loc[listed.index, symbol] = 100 - 100 / (1 + averages[0] / averages[1])
    return held_between(strength < low, (strength > high) | close.isna())


def returns_of(bars, positions, execution, bps):
    """Returns of positions by the accounting of `every_bar`, in data frames."""
    close = bars["close"]
    fill = bars["open"] if execution == "next_open" else close
    priced = (close + fill).notna()
    held = positions.where(priced, 0.0) / close.shape[1]
    if execution != "close":
        held = held.shift(fill_value=0.0)
    held = held.where(priced, 0.0)
    before = held.shift(fill_value=0.0)
    earned = (before * (fill / close.shift() - 1)).where(priced & (before > 0), 0.0)
    earned += (held * (close / fill - 1)).where(priced, 0.0)
    cost = (held - before).abs() * bps / 1e4
    return (earned - cost).sum(axis=1), (held - before).abs().sum(axis=1)


@pytest.mark.parametrize("execution", ["next_open", "next_close", "close"])
@pytest.mark.parametrize("market", ["stocks", "currencies"])
def test_figures_equal_pandas(factory, market, execution, sample_view, fx_view, configs_of):
    if market == "currencies" and execution == "next_open":
        execution = None  # the default where there are no opens: the next close
    view = sample_view if market == "stocks" else fx_view
    bars = {field: pd.DataFrame(view[field], view.index) for field in view.fields}
    strategy = factory(turnover_bps=7.0, execution=execution)
    columns = configs_of(strategy, N_CONFIGS, seed=11)
    swept = strategy.evaluate(view, columns)
    for row in range(N_CONFIGS):
        config = {name: values[row] for name, values in columns.items()}
        positions = globals()[strategy.name](bars, **config)
        returns, turned = returns_of(bars, positions, execution or "next_close", 7.0)
        equity = (1 + returns).cumprod()
        year = view.periods_per_year
        expected = {
            "sharpe": returns.mean() / returns.std() * year**0.5,
            "total_return": equity.iloc[-1] - 1,
            "max_drawdown": (equity / equity.cummax().clip(lower=1.0)).min() - 1,
            "turnover": turned.mean() * year,
        }
        assert turned.sum() > 1
        for name, value in expected.items():
            # Rounding of sums of 5,000 returns; a position that differs on one bar would show at 1e-4.
            assert swept[name][row] == pytest.approx(value, rel=1e-10, abs=1e-12), (name, config)
