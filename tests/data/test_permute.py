"""Permuted bars: the same returns in another order, and every hole where it was."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.data.surrogates import permuted_bars

PRICES = ("open", "high", "low", "close")


def ratios(bundle):
    """Every price over the last close of its symbol, ``(n_fields, n_bars, n_symbols)``."""
    before = pd.DataFrame(bundle.close).ffill().shift(1).to_numpy()
    return np.array([bundle[name] / before for name in bundle.fields if name in PRICES])


def made(seed, holes, n_bars=60):
    """A bundle with a symbol that is listed late, another that ends early, and bars without values."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (n_bars, 3)), axis=0))
    opening = close * np.exp(rng.normal(0, 0.01, close.shape))
    high, low = np.maximum(opening, close) * 1.01, np.minimum(opening, close) * 0.99
    fields = {
        "open": opening,
        "high": high,
        "low": low,
        "close": close,
        "volume": rng.integers(1, 99, close.shape) * 1.0,
    }
    missing = np.zeros(close.shape, bool)
    for bar, symbol in holes:
        missing[bar, symbol] = True
    missing[:20, 1] = True
    missing[50:, 2] = True
    for values in fields.values():
        values[missing] = np.nan
    index = pd.bdate_range("2015-01-01", periods=n_bars)
    return rbt.Bundle.from_arrays(fields, index, ["A", "B", "C"], listed_until={"C": index[49]})


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.lists(st.tuples(st.integers(1, 59), st.integers(0, 2)), max_size=8), st.integers(0, 9))
def test_bars_move_whole_and_holes_stay(prices_seed, holes, seed):
    bundle = made(prices_seed, holes)
    moved = permuted_bars(bundle, bundle.n_bars, seed)
    before, after = ratios(bundle), ratios(moved)
    assert np.array_equal(np.isnan(bundle.close), np.isnan(moved.close))
    assert moved.listed_until == bundle.listed_until
    assert moved.index.tolist() == bundle.index.tolist()
    # Each bar is one of the bars before: the ratios of all symbols and fields, and the volumes, come together.
    rows_before = np.concatenate([*before, bundle.volume], axis=1)
    rows_after = np.concatenate([*after, moved.volume], axis=1)
    same = np.isclose(rows_before, rows_after[:, None], rtol=1e-9, equal_nan=True).all(axis=2)
    assert same.any(axis=0).all()
    known = ~np.isnan(bundle.close)
    first = known.argmax(axis=0)
    assert np.array_equal(moved.close[first, [0, 1, 2]], bundle.close[first, [0, 1, 2]])


def test_the_order_is_another_for_each_seed_and_the_total_return_stays():
    bundle = rbt.load_bundle("sample")
    one, two, again = (permuted_bars(bundle, 2000, seed) for seed in (1, 2, 1))
    assert one.version == again.version
    assert len({one.version, two.version, bundle.version}) == 3
    np.testing.assert_allclose(one.close[-1], bundle.close[1999], rtol=1e-9)
    lag = [np.corrcoef(np.log(b.close[1:2000, 0] / b.close[:1999, 0])[1:], np.arange(1998))[0, 1] for b in (one, two)]
    assert max(map(abs, lag)) < 6 / 1998**0.5
    same = (one.close[:, 0] == bundle.close[:2000, 0]).mean()
    assert same < 0.01


def test_a_bundle_with_closes_alone_can_be_permuted():
    bundle = rbt.load_bundle("fx")
    moved = permuted_bars(bundle, bundle.n_bars, 7)
    assert moved.fields == bundle.fields
    assert np.array_equal(np.isnan(bundle.close), np.isnan(moved.close))
    assert moved.version != bundle.version


def test_symbols_stay_correlated():
    bundle = rbt.load_bundle("fx")
    changes = [np.diff(np.log(one.close), axis=0) for one in (bundle, permuted_bars(bundle, bundle.n_bars, 3))]
    before, after = (np.corrcoef(one[np.isfinite(one).all(axis=1)].T) for one in changes)
    np.testing.assert_allclose(before, after, atol=0.05)
    assert np.abs(before - np.eye(len(before))).max() > 0.2
