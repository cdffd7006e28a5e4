"""What is wrong with prices, said with file, symbol and row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rbt_ray.data.fields import PRICES
from rbt_ray.errors import BundleError
from rbt_ray.types import BoolArray

if TYPE_CHECKING:
    from rbt_ray.data.series import Series

FIXES = {
    "sort": "put the rows of each symbol in time order",
    "drop-duplicates": "keep one of several rows that are equal in every column",
}
"""What `ingest(fix=...)` may change: only what has one possible meaning."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where rows are: a file whose lines are counted from 1 with the header, or a table counted from 0.

    Args:
        name: the file's name, or what else to call it.
        lines: whether row numbers are lines of a text file.
    """

    name: str
    lines: bool = False

    def where(self, symbol: str | None, row: int, date: str | None = None) -> str:
        """The beginning of a message about a row."""
        row_text = f"row {row}" if self.lines else f"row {row} (counted from 0)"
        parts = [part for part in (symbol and f"symbol {symbol}", row_text, date) if part]
        return f"{self.name}, {', '.join(parts)}"


def fixes(fix: str | Iterable[str]) -> frozenset[str]:
    """The fixes asked for; `BundleError` for one that does not exist."""
    asked = frozenset([fix] if isinstance(fix, str) else fix)
    for name in sorted(asked.difference(FIXES), key=str):
        known = "; ".join(f"{key!r}: {meaning}" for key, meaning in FIXES.items())
        raise BundleError(f"`fix` has no {name!r}. It may be {known}.")
    return asked


def in_time_order(series: Series) -> None:
    """Refuse a row that is earlier than the one before it."""
    earlier = np.flatnonzero(series.times[1:] < series.times[:-1]) + 1
    if len(earlier):
        raise BundleError(
            f"{series.where(earlier[0])}: the date is before that of the row above{_more(len(earlier))}. "
            "Sort the rows by date, or let it be done: `--fix sort` (Python: fix=('sort',))."
        )


def repeats(series: Series, *, drop_equal: bool) -> BoolArray:
    """Rows to leave out, ``(n_rows,)``: those that repeat the row before them; `BundleError` if that is not allowed.

    Args:
        series: rows in time order.
        drop_equal: whether rows equal in every column may be left out; rows that differ never may.
    """
    again = np.concatenate(([False], series.times[1:] == series.times[:-1]))
    if not again.any():
        return again
    rows = np.flatnonzero(again)
    equal = np.ones(len(rows), bool)
    for values in series.columns.values():
        here, before = values[rows], values[rows - 1]
        equal &= (here == before) | (np.isnan(here) & np.isnan(before))
    if not equal.all():
        row = rows[~equal][0]
        raise BundleError(
            f"{series.where(row)}: the date is that of row {series.rows[row - 1]} too, with other values"
            f"{_more(int((~equal).sum()))}. Keep the right one of them; no fix can know which."
        )
    if not drop_equal:
        raise BundleError(
            f"{series.where(rows[0])}: repeats row {series.rows[rows[0] - 1]}{_more(len(rows))}. "
            "Remove it, or let it be done: `--fix drop-duplicates` (Python: fix=('drop-duplicates',))."
        )
    return again


def prices(series: Series) -> None:
    """Refuse values that cannot be prices: infinite, at or below zero, a high below the low, no rows at all."""
    columns = series.columns
    if "close" not in columns:
        raise BundleError(
            f"{series.origin.name}: symbol {series.symbol} has no column `close`; its columns are "
            f"{', '.join(columns) or 'none'}. Rename the one that holds closing prices to `close`."
        )
    if not len(series.times):
        raise BundleError(f"{series.origin.name}: symbol {series.symbol} has no rows. Remove it, or fill it.")
    for name, values in columns.items():
        _refuse(series, np.isinf(values), name, "is infinite; leave the cell empty where the value is not known")
        if name in PRICES:
            _refuse(
                series, values <= 0, name, "is no price: prices are above 0; leave the cell empty where there is none"
            )
        if name == "volume":
            _refuse(series, values < 0, name, "is negative; leave the cell empty where the volume is not known")
    if "high" in columns and "low" in columns:
        below = columns["high"] < columns["low"]
        if below.any():
            row = int(np.argmax(below))
            raise BundleError(
                f"{series.where(row)}: `high` {columns['high'][row]:g} is below `low` {columns['low'][row]:g}"
                f"{_more(int(below.sum()))}. Correct the row."
            )


def has_closes(series: Series) -> None:
    """Refuse a symbol without a closing price in any row."""
    if np.isnan(series.columns["close"]).all():
        raise BundleError(
            f"{series.origin.name}: symbol {series.symbol} has no closing price in any of its "
            f"{len(series.times):,} rows. Remove the symbol, or fill its `close`."
        )


def _refuse(series: Series, bad: BoolArray, name: str, why: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        value = series.columns[name][row]
        raise BundleError(f"{series.where(row)}: `{name}` {value:g} {why}{_more(int(bad.sum()))}.")


def _more(count: int) -> str:
    return "" if count == 1 else f" (and {count - 1:,} more such row{'s' * (count > 2)})"
