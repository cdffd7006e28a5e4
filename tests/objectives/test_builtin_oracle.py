"""The built-in objectives against pandas: rolling windows, forward fills and the accountings written out again."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.accounts import broker, by_hand

N_CONFIGS = 3


def held_between(enter: pd.DataFrame, leave: pd.DataFrame) -> pd.DataFrame:
    events = pd.DataFrame(np.nan, enter.index, enter.columns)
    return events.mask(enter, 1.0).mask(leave, 0.0).ffill().fillna(0.0)


def sma_cross(bars, fast, slow):
    close = bars["close"]
    return (close.rolling(int(fast)).mean() > close.rolling(int(slow)).mean() * (1 + 1e-9)).astype(float)


def momentum(bars, lookback, threshold):
    close, window = bars["close"], int(lookback)
    return (close / close.shift(window) - 1 > threshold).astype(float)


def mean_reversion(bars, window, entry, exit):
    close = bars["close"]
    rolling = close.rolling(int(window))
    score = (close - rolling.mean()) / rolling.std()
    return held_between(score < -entry, score > -exit)


def breakout(bars, entry, exit):
    close = bars["close"]
    highest = bars.get("high", close).rolling(int(entry)).max().shift()
    lowest = bars.get("low", close).rolling(int(exit)).min().shift()
    return held_between(close > highest * (1 + 1e-9), close * (1 + 1e-9) < lowest)


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
            if window < len(move):
                seeded.iloc[window] = move.iloc[1 : window + 1].mean()
            averages.append(seeded.ewm(alpha=1 / window, adjust=False).mean())
        strength.loc[listed.index, symbol] = 100 - 100 / (1 + averages[0] / averages[1])
    return held_between(strength < low, strength > high)


def positions_of(name, bars, config):
    """Each symbol on the bars that it has, its last position kept over the others."""
    close = bars["close"]
    columns = {}
    for symbol in close:
        own = {field: frame.loc[close[symbol].notna(), [symbol]] for field, frame in bars.items()}
        columns[symbol] = globals()[name](own, **config)[symbol].reindex(close.index).ffill().fillna(0.0)
    return pd.DataFrame(columns)


def returns_of(bars, positions, execution, bps):
    """Returns of positions by the accounting of `every_bar`, in data frames of prices without holes."""
    close = bars["close"]
    fill = bars["open"] if execution == "next_open" else close
    held = positions / close.shape[1]
    if execution != "close":
        held = held.shift(fill_value=0.0)
    before = held.shift(fill_value=0.0)
    growth = (fill / fill.shift()).fillna(1.0)
    drifted = (before * growth).div(1 + (before * (growth - 1)).sum(axis=1), axis=0)
    earned = (before * (fill / close.shift() - 1)).fillna(0.0) + (held * (close / fill - 1)).fillna(0.0)
    traded = (held - drifted).abs().sum(axis=1)
    return earned.sum(axis=1) - bps / 1e4 * traded, traded


@pytest.mark.parametrize("execution", ["next_open", "next_close", "close"])
@pytest.mark.parametrize("market", ["stocks", "currencies"])
def test_figures_equal_pandas(factory, market, execution, sample_view, fx_view, configs_of):
    if market == "currencies" and execution == "next_open":
        execution = None  # the default where there are no opens: the next close
    view = sample_view if market == "stocks" else fx_view
    bars = {field: pd.DataFrame(view[field], view.index) for field in view.fields}
    strategy = factory(turnover_bps=7.0, execution=execution, rebalance="every_bar")
    columns = configs_of(strategy, N_CONFIGS, seed=11)
    swept = strategy.evaluate(view, columns)
    for row in range(N_CONFIGS):
        config = {name: values[row] for name, values in columns.items()}
        positions = positions_of(strategy.name, bars, config)
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


@pytest.mark.parametrize("rebalance", ["on_change", "every_bar"])
@pytest.mark.parametrize("execution", ["next_open", "next_close", "close"])
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_figures_on_prices_with_holes_equal_plain_python(factory, holed, configs_of, execution, rebalance, seed):
    """Signals of each symbol's own bars, and accounts that carry holdings over the others."""
    view = holed(300, 4, seed, 0.4, True)
    assert np.isnan(view.close[60:200]).any()
    bars = {field: pd.DataFrame(view[field]) for field in view.fields}
    strategy = factory(turnover_bps=7.0, execution=execution, rebalance=rebalance)
    columns = configs_of(strategy, N_CONFIGS, seed=seed, longest=20)
    swept = strategy.evaluate(view, columns, ("total_return", "sharpe"))
    n_moved = 0
    for row in range(N_CONFIGS):
        config = {name: values[row] for name, values in columns.items()}
        weights = positions_of(strategy.name, bars, config).to_numpy() / view.n_symbols
        if rebalance == "every_bar":
            returns, _ = by_hand(view, weights, execution, [7.0] * view.n_symbols)
        else:
            equity = np.array(broker(view, weights, execution, 7e-4, 0.0, 0.0, 0.0, False, 1.0))
            returns = np.diff(equity, prepend=1.0) / np.concatenate([[1.0], equity[:-1]])
        n_moved += returns.any()
        assert swept["total_return"][row] == pytest.approx(np.prod(1 + returns) - 1, rel=1e-10, abs=1e-12)
        sharpe = returns.mean() / returns.std(ddof=1) * view.periods_per_year**0.5 if returns.any() else np.nan
        assert swept["sharpe"][row] == pytest.approx(sharpe, rel=1e-9, nan_ok=True)
    assert n_moved > N_CONFIGS // 2
