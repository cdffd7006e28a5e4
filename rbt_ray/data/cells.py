"""Converts columns of a frame to numbers, text and UTC timestamps."""

from __future__ import annotations

import re
import sys
from collections.abc import Hashable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rbt_ray.data import times
from rbt_ray.data.series import Origin
from rbt_ray.data.times import TimeArray
from rbt_ray.errors import BundleError
from rbt_ray.types import FloatArray, IntArray

if TYPE_CHECKING:
    Column = pd.Series[Any]


_REAL = (int, float, Decimal, np.integer, np.floating, np.bool_, str, bytes)
"""Types of cells in a column of objects that are read as numbers."""
_LARGEST = int(sys.float_info.max)

Names: TypeAlias = NDArray[np.object_]
"""``(n_rows,)`` the symbol of each row."""


def symbols(column: Column, origin: Origin, rows: IntArray) -> Names:
    """Returns the symbol of each row as text; `BundleError` names the first row without one."""
    names: Names = texts(column, origin, rows).to_numpy(dtype=object)
    blank = column.isna().to_numpy() | (names == "")
    if blank.any():
        row = rows[np.argmax(blank)]
        raise BundleError(f"{origin.where(None, row)}: the symbol is missing. Fill it in, or remove the row.")
    try:
        is_mixed = column.dtype == object and column.nunique() != pd.Series(names).nunique()
    except TypeError:  # unhashable cells, such as lists
        row = next((row for row, cell in enumerate(column) if not isinstance(cell, Hashable)), 0)
        raise BundleError(
            f"{origin.where(None, rows[row])}: `{column.name}` is {shown(column.iloc[row])}, which is not a name. Write symbols as "
            "text."
        ) from None
    if is_mixed:
        first = pd.Series(names).map(column.groupby(names).nunique()).gt(1).to_numpy()
        row = int(np.argmax(first))
        raise BundleError(
            f"{origin.where(names[row], rows[row])}: the symbol is a number in some rows and text in others. Use one type."
        )
    return names


def numbers(column: Column, origin: Origin, rows: IntArray, symbol: str | Names) -> FloatArray:
    """Returns a column as float64, NaN for empty cells; `BundleError` names the first cell that is not a number.

    Args:
        column: numbers, or objects or text that can be read as numbers.
        origin: where the rows are, for messages.
        rows: row numbers, for messages.
        symbol: the symbol of all rows, or of each row.
    """
    if pd.api.types.is_numeric_dtype(column.dtype) and column.dtype.kind != "c":
        with np.errstate(over="ignore"):  # a long double above all float64 becomes infinite, which is refused later
            known: FloatArray = column.to_numpy(np.float64, na_value=np.nan)
        return known
    values = np.full(len(column), np.nan)
    if column.dtype.kind not in "mMc":  # dates would become nanoseconds, and complex numbers lose a part
        values = _of_objects(column.astype(object).to_numpy())
    text = np.isnan(values) & column.notna().to_numpy()
    if text.any():
        row = int(np.argmax(text))
        whose = symbol if isinstance(symbol, str) else str(symbol[row])
        raise BundleError(
            f"{origin.where(whose, rows[row])}: `{column.name}` is {shown(column.iloc[row])}, which is not a number. "
            "Correct it, leave the cell empty if the value is unknown, or remove the column if it is not a field."
        )
    return values


def texts(column: Column, origin: Origin, rows: IntArray) -> Column:
    """Returns each cell as text; `BundleError` names the first cell that cannot be converted."""
    try:
        return column.astype(str)
    except (TypeError, ValueError):
        row = next((row for row, cell in enumerate(column) if not _has_text(cell)), 0)
        raise BundleError(
            f"{origin.where(None, rows[row])}: `{column.name}` is {shown(column.iloc[row])}, which cannot be converted to text. Correct it."
        ) from None


def shown(cell: object) -> str:
    """Returns the beginning of a cell's text, for a message."""
    return repr(str(cell)[:60]) if _has_text(cell) else f"a value of type {type(cell).__name__}"


def _of_objects(cells: Names) -> FloatArray:
    """Returns ``(n_rows,)`` the number each cell is read as; NaN for other cells, which pandas would misread."""
    if not all(issubclass(kind, _REAL) for kind in set(map(type, cells))):
        cells = _column([_real(cell) for cell in cells])
    try:
        with np.errstate(over="ignore"):
            return _to_numbers(cells)
    except OverflowError:  # Python's ints are unbounded
        return _to_numbers(
            _column([None if isinstance(cell, int) and abs(cell) > _LARGEST else cell for cell in cells])
        )


def _to_numbers(cells: Names) -> FloatArray:
    found: FloatArray = pd.to_numeric(pd.Series(cells, dtype=object), errors="coerce").to_numpy(
        np.float64, na_value=np.nan
    )
    return found


def _column(cells: list[object]) -> Names:
    column: Names = np.empty(len(cells), object)
    column[:] = cells
    return column


def _real(cell: object) -> object:
    """Returns a cell that can be read as a number, or the element of a 0-d array; else None."""
    if isinstance(cell, np.ndarray) and cell.ndim == 0 and not np.ma.is_masked(cell):
        cell = cell[()]
    return cell if isinstance(cell, _REAL) else None


def _has_text(cell: object) -> bool:
    try:
        _ = cell.decode() if isinstance(cell, bytes) else str(cell)
    except ValueError:  # bytes in another encoding, and ints with more digits than Python prints
        return False
    return True


_DIGITS = list("0123456789")
_MOST_SHOWN = 60
_EPOCH = re.compile(r"\d{9,19}(\.\d*)?")
_OFFSET = r":[\d:.]+ ?(Z|[+-]\d\d(?::?\d\d)?)$"
_DAYLIGHT_SAVING = (timedelta(hours=1), timedelta(minutes=30))
"""By how much clocks change; half an hour on Lord Howe Island."""


def dates(column: Column, origin: Origin, rows: IntArray) -> tuple[TimeArray, str | None]:
    """Returns UTC timestamps, and the time zone of the dates: None if they have none, UTC if offsets change with daylight saving.

    Text must be ISO 8601 (2024-03-01, 20240301, 2024-03-01T09:30-05:00): 03/04/2024 is March in one country and
    April in another.

    Args:
        column: dates, timestamps or text.
        origin: where the rows are, for messages.
        rows: row numbers, for messages.

    Raises:
        BundleError: a date is missing or cannot be read, or time zones are mixed.
    """
    blank = column.isna().to_numpy()
    if column.dtype.kind != "M":  # timestamps beyond the range of datetime cannot be converted to text
        blank = blank | (texts(column, origin, rows) == "").to_numpy()
    if blank.any():
        raise BundleError(
            f"{origin.where(None, rows[np.argmax(blank)])}: the date is missing. Fill it in, or remove the row."
        )
    if str(column.dtype).startswith(("date32", "date64")):  # Arrow's dates, which have no `dt.tz`
        column = column.astype("datetime64[s]")
    stamps = column if column.dtype.kind == "M" else _from_objects(column, origin, rows)
    tz = None if stamps.dt.tz is None else str(stamps.dt.tz)
    if tz is not None:
        stamps = stamps.dt.tz_convert("UTC").dt.tz_localize(None)
    try:
        return stamps.dt.as_unit("ns").to_numpy(), tz
    except pd.errors.OutOfBoundsDatetime:
        years = stamps.to_numpy().astype("datetime64[Y]").astype(np.int64) + 1970  # pandas' own have 32 bits
        row = int(np.argmax((years < 1678) | (years > 2261)))
        value = column.iloc[row]
        shown = value if isinstance(value, str) else years[row]
        raise BundleError(
            f"{origin.where(None, rows[row])}: {shown} is not a year between 1678 and 2261. Correct it."
        ) from None


def _from_objects(column: Column, origin: Origin, rows: IntArray) -> Column:
    """Returns dates from text, date objects or whole numbers like 20240301."""
    texts: Column = column
    if isinstance(column.iloc[0], datetime):  # text would lose the name of the time zone
        readable = pd.to_datetime(texts, errors="coerce", utc=True)
    else:
        texts = column.astype(str)
        readable = pd.to_datetime(texts, errors="coerce", utc=True, format="ISO8601")
    # pandas reads "now" and "today" as the moment of reading.
    with_digit = texts.astype(str).str.lstrip().str[:1].isin(_DIGITS)
    wrong = readable.isna().to_numpy() | ~with_digit.to_numpy(bool)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise BundleError(f"{origin.where(None, rows[row])}: {_why_no_date(str(column.iloc[row]))}")
    try:
        return pd.to_datetime(texts, format=None if texts is column else "ISO8601")
    except ValueError:
        if texts is not column and _is_one_zone(texts):
            return readable
        raise BundleError(
            f"{origin.name}: the dates are in several time zones, or only some have one. Convert them to UTC, or give the "
            "column one named time zone."
        ) from None


def _why_no_date(text: str) -> str:
    shown = repr(text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "...")
    if _EPOCH.fullmatch(text):
        return (
            f"{shown} is not a date but a count since 1970 in an unknown unit. Convert the column, for seconds with "
            "`pd.to_datetime(frame['date'], unit='s')`, and write dates as 2024-03-01T09:30."
        )
    return f"{shown} is not a date. Write dates as 2024-03-01, and times as 2024-03-01T09:30 or 2024-03-01T09:30-05:00."


def _is_one_zone(texts: Column) -> bool:
    """Whether all texts have an offset, and there are two offsets that daylight saving explains: each text is an exact instant."""
    offsets = texts.str.extract(_OFFSET, expand=False).unique()
    if len(offsets) != 2 or pd.isna(offsets).any():
        return False
    first, second = (times.offset(text) for text in offsets)
    return abs(first - second) in _DAYLIGHT_SAVING
