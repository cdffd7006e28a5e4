"""Ambiguous frames and dates are refused; those with one meaning are read."""

import datetime

import numpy as np
import pandas as pd
import pytest

import rbt_ray as rbt
from rbt_ray.errors import BundleError

DAYS = pd.date_range("2024-01-02", periods=3, freq="B")


def wide(*names):
    return pd.DataFrame(np.arange(1.0, 1 + 3 * len(names)).reshape(3, -1), DAYS, columns=pd.Index(names, dtype=object))


@pytest.mark.parametrize("names", [(700, "700"), ("A", 1.5, "1.5"), (True, "True")])
def test_names_that_are_one_text_are_refused(names):
    with pytest.raises(BundleError, match="which have the same name as text"):
        rbt.Bundle.from_frame(wide(*names))
    levels = pd.MultiIndex.from_product([["close"], names])
    with pytest.raises(BundleError, match="which have the same name as text"):
        rbt.Bundle.from_frame(wide(*names).set_axis(levels, axis=1))


@pytest.mark.parametrize("name", [np.nan, None, pd.NaT, pd.NA])
def test_a_column_without_a_name_is_no_ticker(name):
    with pytest.raises(BundleError, match="has a column without a name"):
        rbt.Bundle.from_frame(wide("A", name))
    levels = pd.MultiIndex.from_tuples([("close", "A"), ("close", name)])
    with pytest.raises(BundleError, match="has a column without a name"):
        rbt.Bundle.from_frame(wide("A", "B").set_axis(levels, axis=1))


def test_numbers_as_names_are_symbols():
    assert rbt.Bundle.from_frame(wide(700, 701)).symbols == ("700", "701")


def test_a_symbol_that_is_a_number_and_a_text():
    frame = pd.DataFrame({"date": DAYS, "symbol": pd.Series([5, "700", 700], dtype=object), "close": 1.0})
    with pytest.raises(BundleError, match=r"symbol 700, row 1 .*a number in some rows and text in others"):
        rbt.Bundle.from_frame(frame)


@pytest.mark.parametrize("word", ["now", "today", "NOW", "Today", " now", "tomorrow", "nat"])
@pytest.mark.parametrize("first", ["2024-01-02", datetime.datetime(2024, 1, 2)])
def test_words_are_no_dates(word, first):
    frame = pd.DataFrame({"date": pd.Series([first, word], dtype=object), "A": [1.0, 2.0]})
    with pytest.raises(BundleError, match=r"row 1 \(counted from 0\): '.*' is not a date"):
        rbt.Bundle.from_frame(frame)


@pytest.mark.parametrize("stamp", [1704067200, 1704067200.0, 1704067200000, 1704067200000000000, "1704067200"])
def test_counts_since_1970_need_a_unit(stamp):
    frame = pd.DataFrame({"date": [stamp, stamp], "A": [1.0, 2.0]})
    with pytest.raises(BundleError, match=r"is not a date but a count since 1970 in an unknown unit.*unit='s'"):
        rbt.Bundle.from_frame(frame)


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Europe/London"])
@pytest.mark.parametrize("style", [":", ""])
def test_offsets_that_change_with_daylight_saving_are_exact_instants(tmp_path, zone, style):
    moments = pd.date_range("2024-01-01 10:00", "2024-12-31 10:00", freq="7D", tz=zone)
    texts = [moment.strftime("%Y-%m-%dT%H:%M%z") for moment in moments]
    texts = [text[:-2] + style + text[-2:] for text in texts]
    assert len({text[16:] for text in texts}) == 2
    (tmp_path / "x.csv").write_text("date,A\n" + "".join(f"{text},{row + 1}\n" for row, text in enumerate(texts)))
    from rbt_ray.data import sources

    bundle = sources.read_bundle(tmp_path / "x.csv")
    expected = [datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M%z").astimezone(datetime.UTC) for text in texts]
    assert bundle.tz == "UTC"
    assert bundle.index.tolist() == [int(moment.timestamp()) * 10**9 for moment in expected]


@pytest.mark.parametrize("other", ["2020-01-03T10:00", "2020-01-03", "2020-01-03T10:00+09:00", "2020-01-03T10:00Z"])
def test_offsets_of_several_zones_are_refused(other):
    frame = pd.DataFrame({"date": ["2020-01-02T10:00-05:00", other], "A": [1.0, 2.0]})
    with pytest.raises(BundleError, match="the dates are in several time zones, or only some have one"):
        rbt.Bundle.from_frame(frame)
