"""A lower fidelity has a part of the data of a higher one, and no returns that the prices do not have."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.data.fidelity import FIDELITY_KINDS, cut_to_fidelity

fidelities = st.floats(1e-3, 1.0)


def made(n_bars, n_symbols, rng):
    """Returns a bundle in which some symbols are listed late and some bars are missing."""
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, (n_bars, n_symbols)), axis=0))
    for symbol in range(1, n_symbols):
        close[: rng.integers(0, n_bars // 2), symbol] = np.nan
    close[rng.random(close.shape) < 0.02] = np.nan
    close[:, 0] = np.where(np.isnan(close[:, 0]), 50.0, close[:, 0])
    index = np.datetime64("2001-01-01", "D") + np.arange(n_bars)
    return rbt.Bundle.from_arrays({"close": close}, index, [f"S{n}" for n in range(n_symbols)])


@pytest.mark.parametrize("kind", FIDELITY_KINDS)
def test_full_fidelity_is_every_training_bar(sample, kind):
    bundle, n_bars = cut_to_fidelity(sample, kind, 1.0, 2000, seed=3)
    assert bundle is sample
    assert n_bars == 2000


@given(fidelity=fidelities, train_bars=st.integers(1, 400))
def test_a_prefix_is_the_first_share_of_the_bars(fidelity, train_bars):
    bundle = made(400, 2, np.random.default_rng(1))
    cut, n_bars = cut_to_fidelity(bundle, "prefix", fidelity, train_bars, seed=0)
    assert cut is bundle
    assert n_bars == max(1, math.ceil(fidelity * train_bars - 1e-9))


def test_a_third_of_300_bars_is_100():
    bundle = made(300, 1, np.random.default_rng(1))
    assert cut_to_fidelity(bundle, "prefix", 1 / 3, 300, seed=0)[1] == 100


@settings(deadline=None)
@given(low=fidelities, high=fidelities, seed=st.integers(0, 2**64), n_symbols=st.integers(1, 12))
def test_a_lower_fidelity_sees_no_symbol_that_a_higher_does_not(low, high, seed, n_symbols):
    low, high = sorted((low, high))
    bundle = made(60, n_symbols, np.random.default_rng(2))
    few, n_bars = cut_to_fidelity(bundle, "symbols", low, 40, seed)
    more, _ = cut_to_fidelity(bundle, "symbols", high, 40, seed)
    assert n_bars == 40
    assert few.n_symbols == max(1, math.ceil(low * n_symbols - 1e-9))
    assert set(few.symbols) <= set(more.symbols)
    assert list(few.symbols) == [symbol for symbol in bundle.symbols if symbol in few.symbols]
    for column, symbol in enumerate(few.symbols):
        np.testing.assert_array_equal(few.close[:, column], bundle.close[:, bundle.symbols.index(symbol)])


@settings(deadline=None, max_examples=60)
@given(low=fidelities, high=fidelities, train_bars=st.integers(1, 300), seed=st.integers(0, 2**32))
def test_blocks_see_only_what_higher_fidelities_see_and_keep_every_return(low, high, train_bars, seed):
    low, high = sorted((low, high))
    bundle = made(300, 3, np.random.default_rng(seed))
    few, n_bars = cut_to_fidelity(bundle, "blocks", low, train_bars, seed=0)
    more, n_more = cut_to_fidelity(bundle, "blocks", high, train_bars, seed=0)
    rows = np.searchsorted(bundle.index, few.index[:n_bars])
    assert set(rows) <= set(np.searchsorted(bundle.index, more.index[:n_more]))
    assert rows[-1] < train_bars
    for symbol in range(bundle.n_symbols):
        closes, known = bundle.close[:, symbol], np.flatnonzero(~np.isnan(bundle.close[rows, symbol]))
        for before, here in itertools.pairwise(known):
            if before + 1 == here:  # otherwise the last value in the bundle may be of a bar between
                last = closes[: rows[here]][~np.isnan(closes[: rows[here]])][-1]
                got = few.close[here, symbol] / few.close[before, symbol]
                assert got == pytest.approx(closes[rows[here]] / last, rel=1e-9)


def test_blocks_are_spread_over_all_years(sample):
    few, n_bars = cut_to_fidelity(sample, "blocks", 1 / 9, sample.n_bars, seed=0)
    years = few.index.astype("datetime64[Y]")
    rows = np.searchsorted(sample.index, few.index)
    assert n_bars == pytest.approx(sample.n_bars / 9, abs=8)
    assert years[-1] - years[0] >= np.timedelta64(10, "Y")
    assert (np.diff(rows) > 1).sum() == 7
    np.testing.assert_array_equal(few.volume, sample.volume[rows])


@pytest.mark.parametrize("kind", FIDELITY_KINDS)
def test_a_backtest_runs_at_any_fidelity(sample, kind):
    for fidelity in (1 / 27, 1 / 3, 1.0):
        bundle, n_bars = cut_to_fidelity(sample, kind, fidelity, sample.n_bars, seed=5)
        view = bundle.view(n_bars)
        weights = (view.sma("close", 5) > view.sma("close", 20)) / view.n_symbols
        result = rbt.backtest(view, weights=weights)
        assert np.isfinite(result.metrics()["sharpe"])
        assert np.isfinite(result.returns).all()
