from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import rbt_ray as rbt
from rbt_ray.data.embedded import build
from rbt_ray.data.registry import EMBEDDED


def _first(bundle, symbol):
    return bundle.index[np.argmax(~np.isnan(bundle.close[:, bundle.symbols.index(symbol)]))]


def test_sample_is_five_stocks_two_of_them_listed_late():
    sample = rbt.load_bundle("sample")
    assert sample.symbols == ("AAPL", "FB", "GOOG", "IBM", "MSFT")
    assert sample.fields == ("open", "high", "low", "close", "volume")
    assert (sample.n_bars, sample.periods_per_year, sample.tz, sample.name) == (3270, 252, None, "sample")
    assert _first(sample, "IBM") == np.datetime64("2000-03-01")
    assert _first(sample, "GOOG") == np.datetime64("2004-08-19")
    assert _first(sample, "FB") == np.datetime64("2012-05-18")
    assert all("public domain" in sample.metadata[key] for key in ("licence",))
    assert "Quandl WIKI" in sample.metadata["source"]
    alive = ~np.isnan(sample.close)
    for field in sample.fields:
        np.testing.assert_array_equal(np.isnan(sample[field]), ~alive)
    returns = pd.DataFrame(sample.close, sample.index, sample.symbols).pct_change(fill_method=None)
    # AAPL's fall is real; unadjusted splits of 2000, 2005 (AAPL) and 2003 (MSFT) would be falls of one half
    assert (returns < -0.4).sum().to_dict() == {"AAPL": 1, "FB": 0, "GOOG": 0, "IBM": 0, "MSFT": 0}
    assert returns["AAPL"].idxmin() == pd.Timestamp("2000-09-29")
    assert returns["AAPL"].min() == pytest.approx(-0.519, abs=5e-4)


def test_fx_is_fourteen_rates_close_only():
    fx = rbt.load_bundle("fx")
    assert (fx.n_symbols, fx.fields, fx.periods_per_year, fx.name) == (14, ("close",), 252, "fx")
    assert fx.n_bars > 7000
    assert fx.index[0] == np.datetime64("1999-01-04")
    assert not np.isnan(fx.close).any()
    assert "European Central Bank" in fx.metadata["source"]
    assert "free reuse with the source stated" in fx.metadata["licence"]
    dollar = pd.Series(fx.close[:, fx.symbols.index("EURUSD")], fx.index)
    assert dollar["1999-01-04"] == 1.1789  # the first reference rate there was
    assert dollar["2008-07-15"] == dollar.max() == 1.5990


def test_they_are_small_and_whole():
    assert sum(path.stat().st_size for path in EMBEDDED.values()) < 2_000_000
    for name, path in EMBEDDED.items():
        assert rbt.Bundle.open(path, verify=True) == rbt.load_bundle(name)
        assert (path.parent / "README.md").read_text().count(f"`{name}`") > 0


def test_a_split_leaves_no_trace_after_adjustment():
    stocks = pd.DataFrame(
        {
            "date": pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03"]),
            "symbol": "A",
            "open": [98.0, 51.0, 50.0],
            "high": [102.0, 52.0, 51.0],
            "low": [96.0, 49.0, 48.0],
            "close": [100.0, 50.0, 49.0],
            "volume": [10, 20, 30],
            "adj_close": [50.0, 50.0, 49.0],  # two for one on the second day
        }
    )
    bundle = build.sample(stocks)
    np.testing.assert_array_equal(bundle.close[:, 0], [50, 50, 49])
    np.testing.assert_array_equal(bundle.open[:, 0], [49, 51, 50])
    np.testing.assert_array_equal(bundle.volume[:, 0], [20, 20, 30])
