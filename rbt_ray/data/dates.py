"""A column of dates, as pandas has it, to UTC timestamps."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rbt_ray.data import cells, times
from rbt_ray.data.checks import Origin
from rbt_ray.data.times import TimeArray
from rbt_ray.errors import BundleError
from rbt_ray.types import IntArray

if TYPE_CHECKING:
    Column = pd.Series[Any]

_DIGITS = list("0123456789")
_MOST_SHOWN = 60
_EPOCH = re.compile(r"\d{9,19}(\.\d*)?")
_OFFSET = r":[\d:.]+ ?(Z|[+-]\d\d(?::?\d\d)?)$"
_DAYLIGHT_SAVING = (timedelta(hours=1), timedelta(minutes=30))
"""How far clocks are put forward; half an hour on Lord Howe Island."""


def parse(column: Column, origin: Origin, rows: IntArray) -> tuple[TimeArray, str | None]:
    """UTC timestamps and the time zone the dates were written in (None: none; UTC where offsets change with daylight saving).

    Text must be ISO 8601 (2024-03-01, 20240301, 2024-03-01T09:30-05:00): 03/04/2024 is March in one country and
    April in another.

    Args:
        column: dates, timestamps or text.
        origin: where they are, for messages.
        rows: row numbers, for messages.

    Raises:
        BundleError: a date is missing or cannot be read, or time zones are mixed.
    """
    blank = column.isna().to_numpy()
    if column.dtype.kind != "M":  # timestamps far outside of what datetime knows have no text
        blank = blank | (cells.texts(column, origin, rows) == "").to_numpy()
    if blank.any():
        raise BundleError(
            f"{origin.where(None, rows[np.argmax(blank)])}: there is no date. Fill it, or remove the row."
        )
    if str(column.dtype).startswith(("date32", "date64")):  # Arrow's dates, which have no time zone to ask for
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
    """Dates from text, date objects or whole numbers like 20240301."""
    texts: Column = column
    if isinstance(column.iloc[0], datetime):  # whose text would lose the name of the time zone
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
            "column one time zone by name."
        ) from None


def _why_no_date(text: str) -> str:
    shown = repr(text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "...")
    if _EPOCH.fullmatch(text):
        return (
            f"{shown} is not a date but a count since 1970, and its unit is not known. Convert the column, for seconds by "
            "`pd.to_datetime(frame['date'], unit='s')`, and write dates as 2024-03-01T09:30."
        )
    return f"{shown} is not a date. Write dates as 2024-03-01, and times as 2024-03-01T09:30 or 2024-03-01T09:30-05:00."


def _is_one_zone(texts: Column) -> bool:
    """Whether all have an offset, of which there are two as far apart as daylight saving: each is an exact instant."""
    offsets = texts.str.extract(_OFFSET, expand=False).unique()
    if len(offsets) != 2 or pd.isna(offsets).any():
        return False
    first, second = (times.offset(text) for text in offsets)
    return abs(first - second) in _DAYLIGHT_SAVING
