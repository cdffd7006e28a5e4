"""The benchmark holds equal shares; a series is taken by date, and refused where it does not fit."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.errors import SettingError
from rbt_ray.tuner import benchmark
from rbt_ray.tuner.benchmark import hold_returns, series_returns


def bundle_of(close, tz=None):
    days = np.datetime64("2020-01-01", "ns") + np.arange(len(close)) * np.timedelta64(1, "D")
    symbols = [f"S{i}" for i in range(close.shape[1])]
    return rbt.Bundle.from_arrays({"close": close}, days, symbols, tz=tz, periods_per_year=252)


def by_brute_force(close):
    returns = np.zeros(len(close))
    for column in close.T:
        last = np.nan
        for bar, price in enumerate(column):
            if not np.isnan(price):
                returns[bar] += 0.0 if np.isnan(last) else price / last - 1.0
                last = price
    return returns / close.shape[1]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 999), n_bars=st.integers(2, 60), n_symbols=st.integers(1, 5), cells=st.integers(1, 40))
def test_holding_is_the_mean_of_the_returns_of_all_symbols(seed, n_bars, n_symbols, cells):
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, (n_bars, n_symbols)), axis=0))
    close[rng.random(close.shape) < 0.3] = np.nan
    close[rng.integers(n_bars, size=n_symbols), np.arange(n_symbols)] = 50.0
    bundle = bundle_of(close)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "_CELLS", cells)  # pieces of any size
        found = hold_returns(bundle, n_bars)
        one = hold_returns(bundle, n_bars, "S0")
        half = hold_returns(bundle, n_bars // 2 + 1)
    np.testing.assert_allclose(found, by_brute_force(close), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(one, by_brute_force(close[:, :1]), rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(half, found[: n_bars // 2 + 1])


def test_holding_is_a_backtest_of_equal_weights_without_costs():
    bundle = rbt.load_bundle("sample")
    weights = np.full((bundle.n_bars, bundle.n_symbols), 1 / bundle.n_symbols)
    run = rbt.backtest(bundle, weights, "close", "every_bar", missing="zero")
    np.testing.assert_allclose(hold_returns(bundle, bundle.n_bars), run.returns, atol=1e-12)


@pytest.fixture
def prices():
    return bundle_of(np.linspace(1, 2, 40)[:, None], tz="America/New_York")


def test_a_series_is_an_array_of_the_training_bars_or_of_all(prices):
    values = np.random.default_rng(0).normal(size=40)
    np.testing.assert_array_equal(series_returns(values, prices, 30), values[:30])
    np.testing.assert_array_equal(series_returns(values[:30].tolist(), prices, 30), values[:30])


@pytest.mark.parametrize("tz", [None, "UTC", "America/New_York"])
def test_a_pandas_series_is_taken_by_date_in_any_order(prices, tz):
    dates = pd.DatetimeIndex(prices.index).tz_localize("UTC").tz_convert(tz or "UTC")
    dates = dates.tz_localize(None) if tz is None else dates
    values = np.random.default_rng(0).normal(size=45)
    series = pd.Series(values, dates.union(pd.date_range(dates[-1], periods=6)))
    np.testing.assert_array_equal(series_returns(series.sample(frac=1, random_state=1), prices, 30), values[:30])


REFUSED = {
    "another length": (np.zeros(20), "for each of the 30 training bars; got shape"),
    "a table": (np.zeros((30, 2)), "got shape"),
    "not finite": (np.r_[0.0, np.inf, np.zeros(28)], "got inf on 1 bars, first on 2020-01-01 19:00"),
    "texts": (["a"] * 30, "holds numbers"),
    "no dates": (pd.Series(np.zeros(30)), "index of dates"),
    "a missing date": (
        pd.Series(np.zeros(29), pd.date_range("2020-01-02", periods=29)),
        "no return on 1 of the 30 training bars, first on 2019-12-31 19:00",
    ),
    "no returns at all": (pd.Series([], pd.DatetimeIndex([]), dtype=float), "no return on 30 of the 30"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_series_that_does_not_fit_is_refused_with_a_sentence(prices, what):
    given, sentence = REFUSED[what]
    with pytest.raises(SettingError, match=sentence):
        series_returns(given, prices, 30)


def test_an_unknown_symbol_is_refused_with_the_nearest(prices):
    with pytest.raises(SettingError, match=r"got .S1.*.S0."):
        hold_returns(prices, 30, "S1")
