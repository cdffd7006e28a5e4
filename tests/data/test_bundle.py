from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.errors import BundleError

FIELDS = ("open", "high", "low", "close", "volume")


def _pivot(frame, field):
    return frame.pivot(index="date", columns="symbol", values=field)


def test_a_long_frame_equals_its_pivot_by_pandas(long_frame):
    bundle = rbt.Bundle.from_frame(long_frame, name="p", metadata={"source": "random"})
    assert bundle.fields == FIELDS
    for field in FIELDS:
        expected = _pivot(long_frame, field)
        np.testing.assert_array_equal(bundle[field], expected.to_numpy())
        assert bundle.symbols == tuple(expected.columns)
        np.testing.assert_array_equal(bundle.index, expected.index.to_numpy())
    assert np.isnan(bundle.volume).any()
    assert (bundle.n_bars, bundle.n_symbols, bundle.periods_per_year) == (30, 3, 252.0)
    assert bundle.index.dtype == "datetime64[ns]"
    assert (bundle.name, bundle.metadata, bundle.path) == ("p", {"source": "random"}, None)


@settings(max_examples=40, deadline=None)
@given(order=st.permutations(range(60)), keep=st.lists(st.booleans(), min_size=60, max_size=60))
def test_the_order_of_rows_changes_nothing(make_long, order, keep):
    frame = make_long(20, "ABC").iloc[:60].reset_index(drop=True)
    frame = frame[np.array(keep[: len(frame)]) | (np.arange(len(frame)) < 12)]
    shuffled = frame.iloc[[row for row in order if row < len(frame)]]
    one, other = rbt.Bundle.from_frame(frame), rbt.Bundle.from_frame(shuffled)
    assert one.version == other.version
    for field in FIELDS:
        np.testing.assert_array_equal(other[field], _pivot(frame, field).to_numpy())


def test_wide_frames_keep_the_order_of_their_columns():
    days = pd.bdate_range("2021-01-01", periods=5, name="day")
    closes = pd.DataFrame(np.arange(1.0, 16).reshape(5, 3), days, ["Z", "LOW", "A"])
    bundle = rbt.Bundle.from_frame(closes)
    assert bundle.symbols == ("Z", "LOW", "A")
    assert bundle.fields == ("close",)
    np.testing.assert_array_equal(bundle.close, closes.to_numpy())
    assert rbt.Bundle.from_frame(closes.reset_index(names="Date")) == bundle
    assert rbt.Bundle.from_frame(closes.iloc[::-1]) == bundle


def test_a_wide_frame_of_field_and_symbol_equals_the_long_one(long_frame):
    wide = long_frame.pivot(index="date", columns="symbol", values=list(FIELDS))
    assert rbt.Bundle.from_frame(wide) == rbt.Bundle.from_frame(long_frame)
    capital = wide.rename(columns=str.title, level=0)
    assert rbt.Bundle.from_frame(capital) == rbt.Bundle.from_frame(long_frame)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.rename(columns={"date": "timestamp"}),
        lambda f: f.rename(columns=str.upper),
        lambda f: f.rename(columns=str.title),
        lambda f: f.set_index("date"),
        lambda f: f.set_index(["date", "symbol"]),
        lambda f: f.assign(date=f["date"].dt.date),
        lambda f: f.assign(date=f["date"].dt.strftime("%Y-%m-%d")),
        lambda f: f.assign(date=f["date"].dt.strftime("%Y%m%d").astype(int)),
        lambda f: f.assign(date=f["date"].astype("datetime64[s]")),
        lambda f: f.assign(symbol=f["symbol"].astype("category")),
        lambda f: f.assign(close=f["close"].astype("Float64"), volume=f["volume"].astype("Int64")),
        lambda f: f.assign(close=f["close"].map(repr)),
        lambda f: pl.from_pandas(f),
        lambda f: pl.from_pandas(f).lazy(),
        lambda f: pa.Table.from_pandas(f),
        lambda f: pa.Table.from_pandas(f.set_index("date")),
    ],
)
def test_every_spelling_of_a_frame_gives_the_same_bundle(long_frame, change):
    assert rbt.Bundle.from_frame(change(long_frame)) == rbt.Bundle.from_frame(long_frame)


@pytest.mark.parametrize("series", [pd.Series([1.0, 2.0]), pl.Series([1.0, 2.0]), pa.array([1.0, 2.0])])
def test_a_series_is_no_frame(series):
    with pytest.raises(BundleError, match=r"made from a pandas, polars or pyarrow frame.*got (Series|DoubleArray)"):
        rbt.Bundle.from_frame(series)


def test_symbols_are_text_and_stay_as_they_are():
    frame = pd.DataFrame({"date": ["2020-01-01"] * 3, "symbol": ["NA", "True", "0700"], "close": [1.0, 2.0, 3.0]})
    assert rbt.Bundle.from_frame(frame).symbols == ("0700", "NA", "True")
    assert rbt.Bundle.from_frame(frame.assign(symbol=[7, 8, 9])).symbols == ("7", "8", "9")


def test_time_zones_are_kept_by_name_and_stored_as_utc():
    local = pd.date_range(
        "2021-03-12 09:30", periods=4, freq="D", tz="America/New_York"
    )  # daylight saving begins within it
    closes = pd.DataFrame({"A": [1.0, 2, 3, 4]}, local)
    bundle = rbt.Bundle.from_frame(closes)
    assert bundle.tz == "America/New_York"
    np.testing.assert_array_equal(bundle.index, local.tz_convert("UTC").tz_localize(None).to_numpy())
    assert rbt.Bundle.from_frame(closes.reset_index(names="date").astype({"date": object})) == bundle
    assert "America/New_York" in repr(bundle)
    assert rbt.Bundle.from_arrays({"close": closes.to_numpy()}, local, ["A"]) == bundle
    assert rbt.Bundle.from_frame(closes.tz_convert("UTC")).tz == "UTC"
    text = pd.DataFrame({"date": ["2021-01-01T00:00-05:00"], "symbol": "A", "close": 1.0})
    assert rbt.Bundle.from_frame(text).index[0] == np.datetime64("2021-01-01T05:00")


def test_nothing_in_it_can_be_changed(small):
    for array in (small.close, small["mood"], small.index):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]
    assert small.close.flags.c_contiguous
    assert small.close.dtype == np.float64
    with pytest.raises(AttributeError, match="cannot be changed"):
        small.name = "x"
    with pytest.raises(AttributeError, match="cannot be changed"):
        del small.name


def test_the_arrays_are_copies():
    close = np.ones((3, 1))
    bundle = rbt.Bundle.from_arrays({"close": close}, np.arange(3).astype("datetime64[D]"), ["A"])
    close[:] = 7
    assert (bundle.close == 1).all()


def test_the_version_is_the_content(small):
    fields = {"close": small.close, "mood": small["mood"]}

    def version(fields=fields, index=small.index, symbols=small.symbols, **options):
        return rbt.Bundle.from_arrays(fields, index, symbols, **options).version

    assert version() == version(dict(reversed(fields.items()))) == small.version
    assert version(name="x", metadata={"a": "b"}) == small.version
    other_nan = small.close.copy()
    other_nan[np.isnan(other_nan)] = -np.nan
    zeros = [version({"close": small.close, "mood": small["mood"] * zero}) for zero in (0.0, -0.0)]
    assert version({"close": other_nan, "mood": small["mood"]}) == small.version
    assert zeros[0] == zeros[1]
    nudged = small.close.copy()
    nudged[7, 1] = np.nextafter(nudged[7, 1], 99)
    changed = {
        version({"close": nudged, "mood": small["mood"]}),
        version({"close": small.close}),
        version({"close": small.close, "temper": small["mood"]}),
        version(symbols=["A", "B", "D"]),
        version(index=small.index + np.timedelta64(1, "ns")),
        version(periods_per_year=250),
        version(tz="UTC"),
        small.version,
        zeros[0],
    }
    assert len(changed) == 9
    assert len(small.version) == 64


def test_volume_is_missing_outside_a_symbols_life():
    close = np.array([[np.nan, 1.0], [2.0, np.nan], [3.0, 1.0], [np.nan, 1.0]])
    bundle = rbt.Bundle.from_arrays(
        {"close": close, "volume": np.zeros((4, 2))}, np.arange(4).astype("M8[D]"), ["A", "B"]
    )
    np.testing.assert_array_equal(
        np.isnan(bundle.volume), [[True, False], [False, False], [False, False], [True, False]]
    )


def test_a_missing_field_is_a_sentence_and_an_attribute_error(small):
    with pytest.raises(BundleError, match=r"no field 'open'; its fields are close, mood"):
        small.open
    with pytest.raises(BundleError, match="did you mean 'mood'"):
        small["moot"]
    assert not hasattr(small, "volume")
    assert not hasattr(small.view(), "open")
    assert hasattr(small, "close")


def test_pickles_equal_and_read_only(small, tmp_path):
    small.save(tmp_path / "b.arrow")
    mapped = rbt.Bundle.open(tmp_path / "b.arrow")
    for bundle in (small, mapped):
        again = pickle.loads(pickle.dumps(bundle))
        assert (again, again.metadata, again.path) == (bundle, bundle.metadata, bundle.path)
        np.testing.assert_array_equal(again.close, bundle.close)
        assert not again.close.flags.writeable
        assert copy.deepcopy(bundle) == bundle
        assert hash(again) == hash(bundle)
    assert len(pickle.dumps(mapped)) < 500
    assert small != "small"


def test_repr_and_html(small):
    assert repr(small) == ("<Bundle unnamed: 20 bars from 2020-01-01 to 2020-01-20, 3 symbols, close, mood>")
    page = rbt.Bundle.from_arrays(
        {"close": small.close}, small.index, ["<A>", "B", "C"], name="<x>", metadata={"licence": "a & b"}
    )._repr_html_()
    assert "&lt;A&gt;" in page
    assert "Bundle &lt;x&gt;" in page
    assert "a &amp; b" in page
    assert "2020-01-01" in repr(small.view(5))
    assert "5 bars" in repr(small.view(5))


def test_opening_a_bundle_loads_neither_pandas_nor_numba():
    code = (
        "import sys, rbt_ray as rbt; v = rbt.load_bundle('sample').view(); v.close; repr(v); rbt.list_bundles(); "
        "print([m for m in ('pandas', 'numba', 'scipy', 'ray', 'platformdirs.x') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    light = "import sys, rbt_ray.data.bundle, rbt_ray.data.view; print('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", light], capture_output=True, text=True, check=True).stdout == "False\n"
