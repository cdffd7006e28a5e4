from __future__ import annotations

import datetime as dt
import re

import numpy as np
import pandas as pd
import pytest

import rbt_ray as rbt
from rbt_ray.errors import BundleError

HEADER = "date,open,high,low,close,volume"
GOOD = [
    "2020-01-01,10,11,9,10,100",
    "2020-01-02,10,11,9,10,100",
    "2020-01-03,10,11,9,10,100",
]


def _csv(*rows: str, header: str = HEADER) -> str:
    return "\n".join([header, *rows]) + "\n"


BAD_FILES = [
    ("", "IBM.csv is empty. Remove it, or write a header and a row"),
    (_csv(), "IBM.csv has no rows"),
    (_csv(*GOOD, header="day,open,high,low,final,volume"), "symbol IBM has no column `close`; its columns are open, high, low, final, volume"),
    (_csv(GOOD[0], "2020-01-02,10,11,9,n.a.,100"), "IBM.csv, symbol IBM, row 3: `close` is 'n.a.', which is not a number"),
    (_csv(GOOD[0], '2020-01-02,"1,000",11,9,10,100'), "IBM.csv, symbol IBM, row 3: `open` is '1,000', which is not a number"),
    (_csv(GOOD[0], "", "2020-01-02,10,11,9,-3,100"), "IBM.csv, symbol IBM, row 4, 2020-01-02: `close` -3 is not a price"),
    (_csv(GOOD[0], "2020-01-02,0,11,9,10,100", "2020-01-03,0,11,9,10,1"), "row 3, 2020-01-02: `open` 0 is not a price: prices are above 0; leave the cell empty if there is none (and 1 more such row)"),
    (_csv(GOOD[0], "2020-01-02,10,11,9,inf,100"), "IBM.csv, symbol IBM, row 3, 2020-01-02: `close` inf is infinite"),
    (_csv(GOOD[0], "2020-01-02,10,11,9,10,-5"), "row 3, 2020-01-02: `volume` -5 is negative"),
    (_csv(GOOD[0], "2020-01-02,10,8,9,10,100"), "IBM.csv, symbol IBM, row 3, 2020-01-02: `high` 8 is below `low` 9"),
    (_csv(GOOD[1], GOOD[0]), "IBM.csv, symbol IBM, row 3, 2020-01-01: the date is before that of the row above. Sort the rows by date, or use `--fix sort`"),
    (_csv(GOOD[0], GOOD[1], GOOD[1]), "IBM.csv, symbol IBM, row 4, 2020-01-02: repeats row 3. Remove it, or use `--fix drop-duplicates`"),
    (_csv(GOOD[0], GOOD[1], "2020-01-02,10,11,9,10.5,100"), "row 4, 2020-01-02: the date is that of row 3 too, with other values. Remove the wrong one; no fix"),
    (_csv(GOOD[0], "soon,10,11,9,10,100"), "IBM.csv, row 3: 'soon' is not a date. Write dates as 2024-03-01"),
    (_csv(GOOD[0], "03/04/2020,10,11,9,10,100"), "IBM.csv, row 3: '03/04/2020' is not a date"),
    (_csv(GOOD[0], "2020-02-30,10,11,9,10,100"), "IBM.csv, row 3: '2020-02-30' is not a date"),
    (_csv(GOOD[0], ",10,11,9,10,100"), "IBM.csv, row 3: the date is missing"),
    (_csv(GOOD[0], "1066-10-14,10,11,9,10,100"), "IBM.csv, row 3: 1066-10-14 is not a year between 1678 and 2261"),
    (_csv("2020-01-01,,,,,", "2020-01-02,,,,,"), "IBM.csv: symbol IBM has no closing price in any of its 2 rows"),
    (_csv(GOOD[0], "2020-01-02,10,11,9,10,100,7"), "IBM.csv, row 3: 7 cells under 6 headings"),
    (_csv(*(f"{row},7" for row in GOOD)), "IBM.csv: the rows have more cells than the 6 headings"),
    (_csv(*GOOD, header="date,open,high,low,close,close"), "IBM.csv, row 1: there are more than one column `close`"),
    (_csv(*GOOD, header="date,open,high,low,close,Close"), "IBM.csv has more than one column `close`"),
    (_csv(*GOOD, header="date,open,,,close,volume"), "IBM.csv, row 1: there are columns without a heading"),
    (_csv(GOOD[0], "2020-01-02T00:00-05:00,10,11,9,10,100"), "IBM.csv: the dates are in several time zones, or only some have one"),
    (_csv("2020-01-02T00:00+02:00,1,1,1,1,1", "2020-01-02T00:00-05:00,10,11,9,10,100"), "IBM.csv: the dates are in several time zones"),
    (_csv("2020-01-02T00:00+02:00,1,1,1,1,1"), "the dates of IBM have the time zone UTC+02:00, and those of AAPL in AAPL.csv have no time zone"),
    (_csv("2020-01-01,10", header="date,close"), "IBM.csv: IBM has no column `open`, which AAPL has in AAPL.csv"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "sentence"), BAD_FILES)
def test_a_bad_file_is_named_with_symbol_and_row(home, tmp_path, text, sentence):
    folder = tmp_path / "prices"
    folder.mkdir()
    (folder / "AAPL.csv").write_text(_csv(*GOOD))
    (folder / "IBM.csv").write_text(text)
    with pytest.raises(BundleError, match=re.escape(sentence)):
        rbt.ingest("bad", folder)
    assert [info.name for info in rbt.list_bundles()] == ["sample", "fx"]


def test_a_csv_file_that_is_not_utf_8_is_an_error(home, tmp_path):
    (tmp_path / "IBM.csv").write_bytes(b"date,close\n\xff\xfe\x00\x81,1\n")
    with pytest.raises(BundleError, match=r"IBM\.csv cannot be read as text in UTF-8"):
        rbt.ingest("bad", tmp_path)


def _long(**changes):
    rows = {
        "date": pd.to_datetime(["2020-01-01", "2020-01-01", "2020-01-02", "2020-01-02"]),
        "symbol": ["A", "B", "A", "B"],
        "close": [1.0, 2.0, 3.0, 4.0],
    }
    return pd.DataFrame({**rows, **changes})


NY, TOKYO = (pd.Timestamp("2020-01-01", tz=tz) for tz in ("America/New_York", "Asia/Tokyo"))
DAYS = pd.bdate_range("2020-01-01", periods=3)

BAD_FRAMES = [
    (_long().iloc[:0], "the frame has no rows"),
    (_long().drop(columns="close").assign(price=1.0), "symbol A has no column `close`; its columns are price"),
    (_long().drop(columns="symbol"), "the frame has no column `symbol`; its columns are close. Add one"),
    (_long().drop(columns="date"), "the frame has no column `date` or `timestamp`, and no index of dates; its columns are symbol, close"),
    (_long(symbol=["A", "B", None, "B"]), "the frame, row 2 (counted from 0): the symbol is missing"),
    (_long(symbol=["A", "", "A", "B"]), "the frame, row 1 (counted from 0): the symbol is missing"),
    (_long(close=[1.0, 2.0, 3.0, -4.0]), "the frame, symbol B, row 3 (counted from 0), 2020-01-02: `close` -4 is not a price"),
    (_long(close=[1.0, "two", 3.0, 4.0]), "the frame, symbol B, row 1 (counted from 0): `close` is 'two', which is not a number"),
    (_long(sector=["tech"] * 4), "`sector` is 'tech', which is not a number. Correct it, leave the cell empty if the value is unknown, or remove the column"),
    (_long(paid=pd.to_datetime(["2020-01-01"] * 4)), "`paid` is '2020-01-01 00:00:00', which is not a number"),
    (_long(symbol=["A", "A", "B", "B"]), "the date is that of row 0 too, with other values"),
    (_long(symbol=["A", "A", "B", "B"], close=[1.0, 1.0, 2.0, 2.0]), "symbol A, row 1 (counted from 0), 2020-01-01: repeats row 0"),
    (_long(close=[np.nan, 1, np.nan, 1]), "symbol A has no closing price in any of its 2 rows"),
    (_long(date=[1.5, 2.5, 3.5, 4.5]), "row 0 (counted from 0): '1.5' is not a date"),
    (_long(date=[1577836800] * 4), "'1577836800' is not a date"),
    (_long(date=[pd.NaT, *pd.to_datetime(["2020-01-01"] * 3)]), "row 0 (counted from 0): the date is missing"),
    (_long(date=[NY, NY, TOKYO, TOKYO]), "the dates are in several time zones"),
    (_long(date=[NY, NY, *pd.to_datetime(["2020-01-03"] * 2)]), "the dates are in several time zones"),
    (_long(date=[dt.datetime(3000, 1, 1)] * 4), "is not a year between 1678 and 2261"),
    (_long().rename(columns={"close": "Close"}).assign(close=1.0), "more than one column `close`"),
    (pd.DataFrame(index=DAYS), "the frame has only dates; a wide table"),
    (pd.DataFrame([[1.0, 2.0]] * 3, DAYS, ["A", "A"]), "the frame has more than one column `A`"),
    (pd.DataFrame({"A": [1.0, 2, 3], "B": np.nan}, DAYS), "symbol B has no closing price in any of its 3 rows"),
    (pd.DataFrame({"A": [1.0, 2, 0]}, DAYS), "the frame, symbol A, row 2 (counted from 0), 2020-01-03: `close` 0 is not a price"),
    (pd.DataFrame([[1.0, 2.0]] * 3, DAYS, pd.MultiIndex.from_tuples([("A", "high"), ("A", "open")])), "no field is `close`; the first level is A."),
    (pd.DataFrame([[1.0, 2.0]] * 3, DAYS, pd.MultiIndex.from_tuples([("close", "A"), ("close", "A")])), "more than one column `close` of A"),
    (pd.DataFrame([[1.0]] * 3, None, pd.MultiIndex.from_tuples([("close", "A")])), "must be (field, symbol) over an index of dates; got 2 levels over an index of type RangeIndex"),
    ([1, 2, 3], "is made from a pandas, polars or pyarrow frame, long (date, symbol, close, ...) or wide (a column for each symbol); got list"),
    (None, "got NoneType"),
]  # fmt: skip


@pytest.mark.parametrize(("frame", "sentence"), BAD_FRAMES)
def test_a_bad_frame_is_named_with_symbol_and_row(frame, sentence):
    with pytest.raises(BundleError, match=re.escape(sentence)):
        rbt.Bundle.from_frame(frame)


ONE = np.ones((3, 2))
INDEX = np.arange(3).astype("datetime64[D]")

BAD_ARRAYS = [
    (({"open": ONE}, INDEX, "AB"), "`symbols` is a list of names, one a column; got 'AB'"),
    (({"open": ONE}, INDEX, ["A", "B"]), "symbol A has no column `close`; its columns are open"),
    (({"close": ONE}, INDEX, ["A"]), "Field `close` has shape (3, 2); with this index and symbols it must be (3, 1)"),
    (({"close": ONE}, INDEX, ["A", "A"]), "`symbols` has 'A' more than once"),
    (({"close": ONE}, INDEX, ["A", 3]), "`symbols` is a list of names"),
    (({"close": ONE}, INDEX[::-1], ["A", "B"]), "`index` must increase from bar to bar; bar 1 (1970-01-02) does not"),
    (({"close": ONE}, INDEX[[0, 1, 1]], ["A", "B"]), "`index` must increase from bar to bar; bar 2"),
    (({"close": ONE[:0]}, INDEX[:0], ["A", "B"]), "`index` is one timestamp a bar, none missing, at least one"),
    (({"close": ONE}, ["x", "y", "z"], ["A", "B"]), "`index` holds UTC timestamps"),
    (({"close": [["a"]]}, INDEX, ["A", "B"]), "Field `close` is an array of numbers"),
    (({"close": ONE, "": ONE}, INDEX, ["A", "B"]), "A field's name is a string, not empty and not 'index'; got ''"),
    (({"close": ONE, "index": ONE}, INDEX, ["A", "B"]), "not 'index'; got 'index'"),
    (({"close": ONE - [[0, 0], [0, 1], [0, 0]]}, INDEX, ["A", "B"]), "the arrays, symbol B, row 1 (counted from 0), 1970-01-02: `close` 0 is not a price"),
    (({"close": ONE, "x": ONE * np.inf}, INDEX, ["A", "B"]), "symbol A, row 0 (counted from 0), 1970-01-01: `x` inf is infinite; leave the cell empty if the value is unknown (and 2 more such rows)"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "sentence"), BAD_ARRAYS)
def test_bad_arrays_are_refused_with_a_sentence(arguments, sentence):
    with pytest.raises(BundleError, match=re.escape(sentence)):
        rbt.Bundle.from_arrays(*arguments)


def test_an_unknown_time_zone_is_refused():
    with pytest.raises(BundleError, match="`tz` is the name of a time zone, such as 'America/New_York'; got 'Mars'"):
        rbt.Bundle.from_arrays({"close": ONE}, INDEX, ["A", "B"], tz="Mars")


def test_missing_values_inside_a_life_are_allowed():
    frame = _long(close=[1.0, 2.0, np.nan, 4.0])
    np.testing.assert_array_equal(rbt.Bundle.from_frame(frame).close, [[1.0, 2.0], [np.nan, 4.0]])
    none = _long(close=[1.0, 2.0, None, 4.0]).astype({"close": object})
    assert rbt.Bundle.from_frame(none) == rbt.Bundle.from_frame(frame)


@pytest.mark.parametrize("n", [0, 21, -1, 2.5, "all"])
def test_a_view_has_from_one_bar_to_all(small, n):
    with pytest.raises(
        BundleError, match=re.escape(f"`n_bars` is a whole number from 1 to the bundle's 20; got {n!r}.")
    ):
        small.view(n)
