"""Indicators against pandas and TA-Lib, and the promises they share."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from rbt_ray.errors import SettingError, ShapeError
from rbt_ray.simulate import indicators

SPREADS = ("rolling_std", "zscore")
ALL = ("sma", "ema", "rolling_mean", "rolling_max", "rolling_min", "rsi", "momentum", *SPREADS)

PANDAS = {
    "sma": lambda x, n: x.rolling(n).mean(),
    "rolling_mean": lambda x, n: x.rolling(n).mean(),
    "rolling_std": lambda x, n: x.rolling(n).std(),
    "rolling_max": lambda x, n: x.rolling(n).max(),
    "rolling_min": lambda x, n: x.rolling(n).min(),
    "momentum": lambda x, n: (x / x.shift(n) - 1).where(x.rolling(n + 1).count() == n + 1),
    "zscore": lambda x, n: (
        (x - x.rolling(n).mean()) / x.rolling(n).std().where(x.rolling(n).max() > x.rolling(n).min())
    ),
    "ema": lambda x, n: x.apply(lambda s: s.dropna().ewm(span=n, adjust=False, min_periods=n).mean()),
}


def prices(seed: int, n_bars: int, n_symbols: int = 3, holes: bool = True) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = np.round(50 * np.exp(np.cumsum(rng.normal(0, 0.02, (n_bars, n_symbols)), axis=0)), 2)
    if holes:
        values[rng.random(values.shape) < 0.02] = np.nan
        values[: rng.integers(0, n_bars), -1] = np.nan
    return values


@pytest.mark.parametrize("name", sorted(PANDAS))
@pytest.mark.parametrize("window", [2, 5, 60])
def test_equals_pandas(sample, name, window):
    values = np.array(sample.close)  # two symbols listed late, none with holes
    expected = PANDAS[name](pd.DataFrame(values), window).to_numpy()
    # pandas keeps running moments, whose error after 3,000 bars is far above that of either mean.
    np.testing.assert_allclose(getattr(indicators, name)(values, window), expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("window", [1, 2, 14])
def test_rsi_equals_talib(sample, window):
    column = np.array(sample.close[:, 3])
    ours = indicators.rsi(column[:, None], window)[:, 0]
    if window == 1:  # TA-Lib begins at 2: with one change the index is 0 or 100
        assert set(ours[~np.isnan(ours)]) == {0.0, 50.0, 100.0}
    else:
        np.testing.assert_allclose(ours, talib.RSI(column, window), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ALL)
@given(seed=st.integers(0, 10**6), window=st.integers(2, 25), cut=st.integers(1, 60), holes=st.booleans())
@settings(max_examples=30, deadline=None)
def test_a_prefix_gives_the_prefix(name, seed, window, cut, holes):
    values = prices(seed, 60, holes=holes)
    indicator = getattr(indicators, name)
    assert np.array_equal(indicator(values, window)[:cut], indicator(values[:cut], window), equal_nan=True)


@pytest.mark.parametrize("name", sorted(PANDAS))
@given(seed=st.integers(0, 10**6), window=st.integers(2, 25))
@settings(max_examples=20, deadline=None)
def test_counts_the_bars_a_symbol_has_and_keeps_its_value_over_holes(name, seed, window):
    values = pd.DataFrame(prices(seed, 60))
    result = getattr(indicators, name)(values.to_numpy(), window)
    for symbol in values:
        own = values[[symbol]].dropna()
        expected = PANDAS[name](own, window).iloc[:, 0]
        last_own_bar = pd.Series(own.index, own.index).reindex(values.index).ffill()
        expected = last_own_bar.map(expected)
        np.testing.assert_allclose(result[:, symbol], expected, rtol=1e-7, atol=1e-7)


@given(seed=st.integers(0, 10**6), window=st.integers(2, 25))
@settings(max_examples=20, deadline=None)
def test_rsi_over_holes_is_that_of_the_bars_a_symbol_has(seed, window):
    values = pd.DataFrame(prices(seed, 60))
    result = pd.DataFrame(indicators.rsi(values.to_numpy(), window))
    for symbol in values:
        own = values[symbol].dropna()
        there = result[symbol][own.index].to_numpy()
        np.testing.assert_allclose(there, talib.RSI(own.to_numpy(), window), rtol=0, atol=1e-9)
        carried = result[symbol].where(values[symbol].notna()).ffill()
        assert np.array_equal(result[symbol], carried, equal_nan=True)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e6 + 0.1])
def test_windows_without_movement(value):
    flat = np.full((40, 2), value)
    assert (indicators.rolling_std(flat, 7)[6:] == 0).all(), "exactly, not up to rounding"
    assert np.isnan(indicators.zscore(flat, 7)).all()
    assert (indicators.rsi(flat, 7)[7:] == 50).all()
    assert (indicators.momentum(flat, 7)[7:] == 0).all()


def test_deviation_keeps_its_digits_far_from_zero():
    """Prices near a million that move by cents: pandas' running moments keep half as many digits."""
    values = 1e6 + np.random.default_rng(1).normal(0, 0.01, (500, 1))
    windows = np.lib.stride_tricks.sliding_window_view(values[:, 0], 20)
    exact = np.array([np.std([float(v) - 1e6 for v in window], ddof=1) for window in windows])
    np.testing.assert_allclose(indicators.rolling_std(values, 20)[19:, 0], exact, rtol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_longer_than_the_history_is_all_nan(name):
    assert np.isnan(getattr(indicators, name)(prices(1, 10), 11)).all()


@pytest.mark.parametrize("name", ALL)
def test_leaves_its_input_alone_and_takes_read_only(name):
    values = prices(3, 50)
    before = values.copy()
    values.flags.writeable = False
    getattr(indicators, name)(values, 5)
    assert np.array_equal(values, before, equal_nan=True)


@pytest.mark.parametrize("name", ALL)
def test_refused(name):
    indicator = getattr(indicators, name)
    with pytest.raises(ShapeError, match=r"got \(9,\)\. For one symbol, pass values\[:, None\]\."):
        indicator(np.ones(9), 3)
    with pytest.raises(ShapeError, match="array of numbers"):
        indicator([["a"]], 3)
    least = 2 if name in SPREADS else 1
    word = "span" if name == "ema" else "window"
    for window in (least - 1, -5, 2.5, "3", None):
        with pytest.raises(
            SettingError, match=rf"`{word}` is a whole number of bars, at least {least}; got {window!r}"
        ):
            indicator(np.ones((9, 2)), window)
