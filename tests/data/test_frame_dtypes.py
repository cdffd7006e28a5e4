"""A column of any dtype of numpy, pandas and Arrow gives the bundle of the same float64 values, or an error of one sentence."""

from __future__ import annotations

import datetime
import warnings
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import rbt_ray as rbt
from rbt_ray.errors import BundleError, InputError, ShapeError
from rbt_ray.simulate import indicators

DAYS = np.array(["2024-01-02", "2024-01-03", "2024-01-04"], "datetime64[D]")
TOKYO = DAYS.astype("datetime64[h]") - np.timedelta64(9, "h")
CODES = "?bBhHiIlLqQefdgFDGSUVMm"
FLOATS = np.random.default_rng(7).uniform(1, 100, 3)
REFUSED = None


def arrow(values, kind):
    return pd.Series(pd.array(values, dtype=pd.ArrowDtype(kind)))


def objects(*cells):
    return pd.Series(list(cells), dtype=object)


def label(cell):
    return f"an int of {cell.bit_length():,} bits" if type(cell) is int else repr(cell)[:40]


def numpy_column(code):
    """Returns three values of a numpy type, and the same as Python floats; `REFUSED` if they are not real numbers."""
    if code in "FDGVMm":
        kinds = {"M": "datetime64[ns]", "m": "timedelta64[s]", "V": "V4"}
        return np.array([1, 2, 3]).astype(kinds.get(code, code)), REFUSED
    if code in "SU":
        return np.array([f"{x!r}" for x in FLOATS.tolist()]).astype(code), FLOATS.tolist()
    values = FLOATS.astype(code)
    return values, [float(x) for x in values]


def numbers():
    """Returns columns by name, with their values as floats."""
    cases = {f"numpy {np.dtype(code).name}": numpy_column(code) for code in CODES}
    for kind in ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float32", "Float64"):
        series = pd.Series([5, None, 7], dtype=kind)
        cases[kind] = (series, [5.0, np.nan, 7.0])
        cases[f"category of {kind}"] = (series.astype("category"), [5.0, np.nan, 7.0])
    cases["boolean"] = (pd.Series([True, None, True], dtype="boolean"), [1.0, np.nan, 1.0])
    for kind in ("string[python]", "string[pyarrow]", "str", "object", "category"):
        cases[f"{kind} of texts"] = (pd.Series(["1.5", None, "7"], dtype=kind), [1.5, np.nan, 7.0])
    cases["sparse"] = (pd.Series(pd.arrays.SparseArray([1.5, np.nan, 7.0])), [1.5, np.nan, 7.0])
    cases["sparse complex"] = (pd.Series(pd.arrays.SparseArray([1.5, 2j, 7.0])), REFUSED)
    whole = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
    for kind in (*whole, pa.float32(), pa.float64(), pa.decimal128(10, 2), pa.decimal256(40, 2)):
        values = [Decimal(5), None, Decimal(7)] if pa.types.is_decimal(kind) else [5, None, 7]
        cases[f"arrow {kind}"] = (arrow(values, kind), [5.0, np.nan, 7.0])
    cases["arrow half"] = (arrow([np.float16(5), None, np.float16(7)], pa.float16()), [5.0, np.nan, 7.0])
    for kind in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.dictionary(pa.int8(), pa.string())):
        texts = ["1.5", None, "7"] if "binary" not in str(kind) else [b"1.5", None, b"7"]
        cases[f"arrow {kind}"] = (arrow(texts, kind), [1.5, np.nan, 7.0])
    times = [pa.timestamp("s"), pa.timestamp("ns", "Asia/Tokyo"), pa.date32(), pa.date64(), pa.time32("s")]
    for kind in (*times, pa.time64("us"), pa.duration("ms")):
        cases[f"arrow {kind}"] = (arrow([1, 2, 3], kind), REFUSED)
    cases["arrow list"] = (arrow([[1.0], [2.0], [3.0]], pa.list_(pa.float64())), REFUSED)
    cases["arrow struct"] = (arrow([{"a": 1}] * 3, pa.struct([("a", pa.int8())])), REFUSED)
    cases["arrow null"] = (arrow([None] * 3, pa.null()), REFUSED)
    cases["period"] = (pd.Series(pd.period_range("2024", periods=3, freq="D")), REFUSED)
    cases["interval"] = (pd.Series(pd.interval_range(0, 3)), REFUSED)
    cases["times with a zone"] = (pd.Series(pd.DatetimeIndex(DAYS, tz="Asia/Tokyo")), REFUSED)
    good = {
        "Decimal": (Decimal("1.5"), 1.5),
        "whole Decimal": (Decimal(10) ** 20, 1e20),
        "int": (3, 3.0),
        "int of 65 bits": (2**64 + 2**12, float(2**64 + 2**12)),
        "bool": (True, 1.0),
        "None": (None, np.nan),
        "NA": (pd.NA, np.nan),
        "NaT": (pd.NaT, np.nan),
        "nan": (np.nan, np.nan),
        "0-d array": (np.array(1.5), 1.5),
        "bytes": (b"1.5", 1.5),
        "text": (" 1.5 ", 1.5),
    }
    for code in CODES:
        values, expected = numpy_column(code)
        good[f"numpy {np.dtype(code).name}"] = (values[0], expected and expected[0])
    for name, (cell, value) in good.items():
        cases[f"objects, {name}"] = (objects(cell, 2, 3.5), value if value is None else [value, 2.0, 3.5])
    bad = (1 + 0j, 10**400, -(10**400), 10**5000, Fraction(1, 3), datetime.date(2024, 1, 2), datetime.timedelta(1))
    bad += (pd.Timestamp(0), np.ma.masked, np.array([1.0]), [1.0], {}, object, "1,5", "0x1", "inf", b"\xff", "nan")
    bad += (Decimal("Infinity"), Decimal("1e400"), np.inf, np.longdouble("1e400"))
    for cell in bad:
        cases[f"objects, {label(cell)}"] = (objects(cell, 2, 3.5), REFUSED)
    cases["long doubles above all floats"] = (np.array([1, 2, np.longdouble("1e400")]), REFUSED)
    return cases


NUMBERS = numbers()
ONLY_IN_ARRAYS = {
    "objects, Fraction(1, 3)": [1 / 3, 2.0, 3.5],
    "objects, array([1.])": [1.0, 2.0, 3.5],
    "objects, 'nan'": [np.nan, 2.0, 3.5],
}
"""Cells that numpy reads as numbers in arrays, and that are refused in frames."""
LAYOUTS = {
    "long": lambda column: pd.DataFrame({"date": DAYS, "symbol": "A", "close": column}),
    "wide": lambda column: pd.DataFrame({"date": DAYS, "A": column}),
    "by field": lambda column: pd.DataFrame({("close", "A"): pd.Series(column)}).set_axis(pd.DatetimeIndex(DAYS)),
}


def read(make):
    """Returns the bundle, or the message of a `BundleError`; warnings and other errors fail the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return make(), None
        except BundleError as error:
            refusal = str(error)
    assert "\n" not in refusal
    assert len(refusal) < 400
    return None, refusal


@pytest.mark.parametrize("name", NUMBERS)
def test_a_column_of_numbers(name):
    column, expected = NUMBERS[name]
    for layout, frame_of in LAYOUTS.items():
        bundle, refusal = read(lambda make=frame_of: rbt.Bundle.from_frame(make(pd.Series(column))))
        if expected is REFUSED:
            assert refusal is not None, (layout, bundle.close)
            assert any(word in refusal for word in ("`close`", "`A`", "'A'", "'close'", "closing price")), (
                layout,
                refusal,
            )
        else:
            assert refusal is None, (layout, refusal)
            np.testing.assert_array_equal(bundle.close[:, 0], expected, err_msg=layout)


@pytest.mark.parametrize("name", NUMBERS)
def test_an_array_of_numbers(name):
    """`Bundle.from_arrays`, weights and indicators read arrays by one rule."""
    column, expected = NUMBERS[name]
    expected = ONLY_IN_ARRAYS.get(name, expected)
    if not isinstance(column, np.ndarray):
        column = pd.DataFrame({"A": column}) if column.dtype != object else column.to_numpy()
    table = column if column.ndim == 2 else column[:, None]
    other = rbt.Bundle.from_arrays({"close": np.ones((3, 1))}, DAYS, ["A"])
    bundle, refusal = read(lambda: rbt.Bundle.from_arrays({"close": table}, DAYS, ["A"]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if refusal is None:
            assert expected is not REFUSED, bundle.close
            np.testing.assert_array_equal(bundle.close[:, 0], expected)
            np.testing.assert_array_equal(indicators.sma(table, 1)[0], expected[0])
            if not np.isnan(expected).any():
                assert rbt.backtest(other, table).weights.tolist() == [[x] for x in expected]
            return
        assert "`close`" in refusal
        if "infinite" not in refusal:
            with pytest.raises(ShapeError):
                indicators.sma(table, 1)
            with pytest.raises((ShapeError, InputError)):
                rbt.backtest(other, table)


def test_masked_values_are_missing():
    masked = np.ma.array([[1.0], [2.0], [3.0]], mask=[[0], [1], [0]])
    bundle = rbt.Bundle.from_arrays({"close": masked}, DAYS, ["A"])
    np.testing.assert_array_equal(bundle.close[:, 0], [1.0, np.nan, 3.0])
    np.testing.assert_array_equal(indicators.sma(masked, 2)[:, 0], [np.nan, np.nan, 2.0])
    with pytest.raises(InputError, match="finite numbers; got nan"):
        rbt.backtest(bundle, masked, missing="zero")


def times():
    """Returns columns by name, with their UTC instants."""
    cases = {}
    for unit in ("s", "ms", "us", "ns"):
        cases[f"datetime64[{unit}]"] = (pd.Series(DAYS.astype(f"datetime64[{unit}]")), DAYS)
        cases[f"datetime64[{unit}, Asia/Tokyo]"] = (
            pd.Series(DAYS.astype(f"datetime64[{unit}]")).dt.tz_localize("Asia/Tokyo"),
            TOKYO,
        )
        cases[f"arrow timestamp[{unit}]"] = (arrow(DAYS.astype(f"datetime64[{unit}]"), pa.timestamp(unit)), DAYS)
        zoned = pd.Series(pd.DatetimeIndex(DAYS, tz="Asia/Tokyo"))
        cases[f"arrow timestamp[{unit}, Asia/Tokyo]"] = (
            zoned.astype(pd.ArrowDtype(pa.timestamp(unit, "Asia/Tokyo"))),
            TOKYO,
        )
    texts, dates = DAYS.astype(str).tolist(), DAYS.tolist()
    for kind in ("object", "string[python]", "string[pyarrow]", "category", "str"):
        cases[f"{kind} of texts"] = (pd.Series(texts, dtype=kind), DAYS)
    for kind in (pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())):
        cases[f"arrow {kind}"] = (arrow(texts, kind), DAYS)
    for kind in (pa.date32(), pa.date64()):
        cases[f"arrow {kind}"] = (arrow(dates, kind), DAYS)
    cases["arrow binary"] = (arrow([text.encode() for text in texts], pa.binary()), DAYS)
    cases["category of times"] = (pd.Series(pd.DatetimeIndex(DAYS)).astype("category"), DAYS)
    cases["periods of days"] = (pd.Series(pd.PeriodIndex(texts, freq="D")), DAYS)
    hours = DAYS[0] + np.arange(3) * np.timedelta64(1, "h")
    cases["periods of hours"] = (pd.Series(pd.period_range(texts[0], periods=3, freq="h")), hours)
    cases["periods of weeks"] = (pd.Series(pd.period_range("2024-01", periods=3, freq="W")), REFUSED)
    cells = {
        "dates": dates,
        "datetimes": [datetime.datetime(2024, 1, day) for day in (2, 3, 4)],
        "Timestamps": list(pd.DatetimeIndex(DAYS)),
        "datetime64": list(DAYS),
        "datetime64[ns]": list(DAYS.astype("datetime64[ns]")),
        "numpy texts": [np.str_(text) for text in texts],
        "0-d arrays": [np.array(text) for text in texts],
        "bytes": [text.encode() for text in texts],
        "periods": list(pd.PeriodIndex(texts, freq="D")),
    }
    for name, values in cells.items():
        cases[f"objects, {name}"] = (objects(*values), DAYS)
    compact = [int(text.replace("-", "")) for text in texts]
    for kind in (
        "int32",
        "int64",
        "uint32",
        "uint64",
        "Int64",
        "UInt32",
        "int64[pyarrow]",
        "object",
        "string",
        "category",
    ):
        cases[f"{kind} such as 20240102"] = (pd.Series(compact).astype(kind), DAYS)
    for kind in ("float64", "Float64", "complex128", "double[pyarrow]", "float32", "longdouble"):
        cases[f"{kind} such as 20240102"] = (pd.Series(compact).astype(kind), REFUSED)
    cases["bool"] = (pd.Series([True, False, True]), REFUSED)
    cases["durations"] = (pd.Series(pd.to_timedelta([1, 2, 3], "D")), REFUSED)
    cases["intervals"] = (pd.Series(pd.interval_range(0, 3)), REFUSED)
    cases["arrow time32"] = (arrow([1, 2, 3], pa.time32("s")), REFUSED)
    cases["arrow duration"] = (arrow([1, 2, 3], pa.duration("s")), REFUSED)
    for cell in (None, pd.NaT, pd.NA, np.ma.masked, 10**5000, b"\xff", 1j, [1], {}, 1.5):
        cases[f"objects, {label(cell)}"] = (objects(texts[0], cell, texts[2]), REFUSED)
    return cases


TIMES = times()


@pytest.mark.parametrize("name", TIMES)
def test_a_column_of_times(name):
    column, expected = TIMES[name]
    wide = pd.DataFrame({"date": column, "A": [1.0, 2.0, 3.0]})
    index = wide.set_index("date")
    unnamed = index.rename_axis(None)
    says_it_holds_times = unnamed.index.dtype.kind == "M" or isinstance(unnamed.index, pd.PeriodIndex)
    frames = {
        "long": (wide.rename(columns={"A": "close"}).assign(symbol="A"), expected),
        "wide": (wide, expected),
        "index": (index, expected),
        "index without a name": (unnamed, expected if says_it_holds_times else REFUSED),
    }
    for layout, (frame, wanted) in frames.items():
        bundle, refusal = read(lambda given=frame: rbt.Bundle.from_frame(given))
        if wanted is REFUSED:
            assert refusal is not None, (layout, bundle.index)
            assert "date" in refusal, layout
        else:
            assert refusal is None, (layout, refusal)
            np.testing.assert_array_equal(bundle.index, wanted.astype("datetime64[ns]"), err_msg=layout)
            np.testing.assert_array_equal(bundle.close[:, 0], [1.0, 2.0, 3.0], err_msg=layout)


def test_an_index_of_any_dtype():
    def made(index):
        return read(lambda: rbt.Bundle.from_arrays({"close": np.ones((3, 1))}, index, ["A"]))

    for unit in ("D", "h", "m", "s", "ms", "us", "ns"):
        np.testing.assert_array_equal(made(DAYS.astype(f"datetime64[{unit}]"))[0].index, DAYS)
    for index in (DAYS.astype(str), DAYS.astype(str).tolist(), DAYS.tolist(), DAYS.astype(object), DAYS.astype("S10")):
        np.testing.assert_array_equal(made(index)[0].index, DAYS)
    for code in "?bBhHiIlLqQefdgFDGVm":
        index = np.array([1, 2, 3]).astype("m8[D]" if code == "m" else "V4" if code == "V" else code)
        assert made(index)[1].startswith("`index` holds UTC timestamps (datetime64)"), code
    assert "some are masked" in made(np.ma.array(DAYS, mask=[0, 1, 0]))[1]
    for unit in ("D", "s", "us"):
        far = np.array(["1600-01-01", "2024-01-01", "3000-01-01"], f"datetime64[{unit}]")
        assert "`index` has the year 1600" in made(far)[1]
        assert "`index` has the year 3000" in made(far[2] + np.arange(3))[1]


def names():
    """Returns columns of symbols by name, with their texts."""
    texts = ["A", "B", "C"]
    cases = {kind: (pd.Series(texts, dtype=kind), texts) for kind in ("object", "str", "string[python]", "category")}
    for kind in (pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())):
        cases[f"arrow {kind}"] = (arrow(texts, kind), texts)
    encoded = [text.encode() for text in texts]
    cases["arrow binary"] = (arrow(encoded, pa.binary()), texts)
    cases["bytes"] = (objects(*encoded), texts)
    cases["numpy texts"] = (objects(*map(np.str_, texts)), texts)
    for kind in ("int8", "int16", "int64", "uint8", "uint64", "Int64", "UInt8", "int64[pyarrow]", "object", "category"):
        cases[f"{kind} of numbers"] = (pd.Series([70, 5, 77]).astype(kind), ["70", "5", "77"])
    for kind in ("float32", "float64", "longdouble", "Float64"):
        cases[f"{kind} of numbers"] = (pd.Series([1.5, 2.0, 3.0]).astype(kind), ["1.5", "2.0", "3.0"])
    for cell in (["A"], {}, np.array("A"), np.ma.masked, 10**5000, b"\xff", None, np.nan, pd.NA):
        cases[f"objects, {label(cell)}"] = (objects("A", cell, "C"), REFUSED)
    return cases


NAMES = names()


def is_made(name, layout):
    """Whether pandas can make the frame: levels of long doubles and of unhashable values do not exist."""
    column, expected = NAMES[name]
    return layout != "by field" or (expected is not REFUSED and column.dtype != np.longdouble)


@pytest.mark.parametrize(
    ("name", "layout"), [(n, layout) for n in NAMES for layout in ("long", "wide", "by field") if is_made(n, layout)]
)
def test_symbols(name, layout):
    column, expected = NAMES[name]
    if layout == "long":
        frame = pd.DataFrame({"date": DAYS, "symbol": column, "close": [1.0, 2.0, 3.0]})
    else:
        frame = pd.DataFrame([[1.0, 2.0, 3.0]] * 3, pd.DatetimeIndex(DAYS))
        if layout == "wide":
            frame.columns = pd.Index(column)
        else:
            frame.columns = pd.MultiIndex.from_arrays([["close"] * 3, column])
    bundle, refusal = read(lambda: rbt.Bundle.from_frame(frame))
    if expected is REFUSED:
        assert refusal is not None, bundle.symbols
        assert "symbol" in refusal or "column" in refusal
    else:
        assert refusal is None, refusal
        assert sorted(bundle.symbols) == sorted(expected)
        last = dict(zip(expected, [1.0, 2.0, 3.0], strict=True))
        assert [np.nanmax(bundle.close[:, i]) for i in range(3)] == [last[symbol] for symbol in bundle.symbols]
