"""Noisy prices: consistent bars, the stated size, and nothing changed but prices."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.data.surrogates import noisy_prices


def bundle_of(n_bars=300, *, seed=0, holes=0.0, fields=("open", "high", "low", "close", "volume")):
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (n_bars, 3)), axis=0))
    opens = close * np.exp(rng.normal(0, 0.01, close.shape))
    wide = np.exp(rng.choice([0, 0.01], close.shape) * rng.random(close.shape))
    made = {"open": opens, "high": np.maximum(opens, close) * wide, "low": np.minimum(opens, close) / wide}
    made |= {"close": close, "volume": rng.random(close.shape)}
    for name in made:
        missing = rng.random(close.shape) < holes
        missing[0, 0] = False  # a bundle has at least one price
        made[name][missing] = np.nan
    days = pd.bdate_range("2015-01-05", periods=n_bars)
    return rbt.Bundle.from_arrays({name: made[name] for name in fields}, days, ["A", "B", "C"])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n_bars=st.integers(1, 60),
    holes=st.sampled_from([0.0, 0.1, 0.6]),
    share=st.floats(0.01, 3.0),
    fields=st.sampled_from(
        [("open", "high", "low", "close", "volume"), ("close",), ("close", "open"), ("high", "low", "close")]
    ),
)
def test_bars_stay_consistent_and_missing_values_missing(seed, n_bars, holes, share, fields):
    bundle = bundle_of(n_bars, seed=seed, holes=holes, fields=fields)
    noisy = noisy_prices(bundle, share, seed)
    assert noisy.fields == bundle.fields
    assert (noisy.index == bundle.index).all()
    for name in bundle.fields:
        assert (np.isnan(noisy[name]) == np.isnan(bundle[name])).all()
    if "high" in fields:
        inside = [name for name in ("open", "close") if name in fields]
        low = np.where(np.isnan(noisy["low"]), -np.inf, noisy["low"])
        high = np.where(np.isnan(noisy["high"]), np.inf, noisy["high"])
        for name in inside:
            within = (noisy[name] <= high) & (noisy[name] >= low)
            assert (within | np.isnan(noisy[name])).all()
    if "volume" in fields:
        np.testing.assert_array_equal(noisy["volume"], bundle["volume"])


@pytest.mark.parametrize("share", [0.2, 1.0])
def test_the_noise_has_the_stated_size_and_adds_up_to_zero(share):
    bundle = bundle_of(20_000)
    noisy = noisy_prices(bundle, share, 7)
    noise = np.diff(np.log(noisy.close / bundle.close), axis=0)
    own = np.diff(np.log(bundle.close), axis=0)
    np.testing.assert_allclose(noise.std(axis=0, ddof=1) / own.std(axis=0, ddof=1), share, rtol=0.03)
    np.testing.assert_array_equal(noisy.close[[0, -1]], bundle.close[[0, -1]])
    assert abs(np.corrcoef(noise[:-1, 0], noise[1:, 0])[0, 1]) < 4 / np.sqrt(len(noise))  # it does not revert
    assert np.abs(np.corrcoef(noise.T) - np.eye(3)).max() < 4 / np.sqrt(len(noise))
    overnight = np.log(noisy.open / bundle.open)[1:] - np.log(noisy.close / bundle.close)[:-1]
    np.testing.assert_allclose(overnight.var(axis=0) / noise.var(axis=0), 0.5, atol=0.03)


def test_the_seed_decides_and_a_view_gives_the_same():
    bundle = bundle_of()
    one = noisy_prices(bundle, 0.2, 1)
    assert one == noisy_prices(bundle.view(), 0.2, 1)
    assert one != noisy_prices(bundle, 0.2, 2)
    assert noisy_prices(bundle.view(100), 0.2, 1).n_bars == 100
