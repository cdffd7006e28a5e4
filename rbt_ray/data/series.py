"""Checks the rows of each symbol as they were read, and converts them to a bundle's content on common bars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rbt_ray.data import memory_limit, times
from rbt_ray.data.content import PRICES, STANDARD, Content, make_content, ordered_fields
from rbt_ray.data.times import TimeArray
from rbt_ray.errors import BundleError
from rbt_ray.types import BoolArray, FloatArray, IntArray

FIXES = {
    "sort": "put the rows of each symbol in time order",
    "drop-duplicates": "keep one of several rows that are equal in every column",
}
"""Values of `ingest(fix=...)`: faults with only one possible correction."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The source of rows: a text file, whose lines count from 1 with the header, or a table, whose rows count from 0.

    Args:
        name: the name of the file or table.
        lines: whether row numbers are lines of a text file.
    """

    name: str
    lines: bool = False

    def where(self, symbol: str | None, row: int, date: str | None = None) -> str:
        """Returns the beginning of a message about a row."""
        row_text = f"row {row}" if self.lines else f"row {row} (counted from 0)"
        parts = [part for part in (symbol and f"symbol {symbol}", row_text, date) if part]
        return f"{self.name}, {', '.join(parts)}"


def parse_fixes(fix: str | Iterable[str]) -> frozenset[str]:
    """Returns the names of the fixes; `BundleError` for an unknown one."""
    asked = frozenset([fix] if isinstance(fix, str) else fix)
    for name in sorted(asked.difference(FIXES), key=str):
        known = "; ".join(f"{key!r}: {meaning}" for key, meaning in FIXES.items())
        raise BundleError(f"`fix` has no {name!r}. It may be {known}.")
    return asked


def check_time_order(series: Series) -> None:
    """Refuse a row that is earlier than the one before it."""
    earlier = np.flatnonzero(series.times[1:] < series.times[:-1]) + 1
    if len(earlier):
        raise BundleError(
            f"{series.where(earlier[0])}: the date is before that of the row above{_more(len(earlier))}. "
            "Sort the rows by date, or use `--fix sort` (Python: fix=('sort',))."
        )


def repeated_rows(series: Series, *, drop_equal: bool) -> BoolArray:
    """Returns ``(n_rows,)`` True for rows to leave out, which repeat the row before; `BundleError` if that is not allowed.

    Args:
        series: rows in time order.
        drop_equal: whether rows that are equal in every column may be left out; rows that differ are always refused.
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
            f"{_more(int((~equal).sum()))}. Remove the wrong one; no fix can know which one that is."
        )
    if not drop_equal:
        raise BundleError(
            f"{series.where(rows[0])}: repeats row {series.rows[rows[0] - 1]}{_more(len(rows))}. "
            "Remove it, or use `--fix drop-duplicates` (Python: fix=('drop-duplicates',))."
        )
    return again


def check_prices(series: Series) -> None:
    """Refuse values that cannot be prices: infinite, at or below zero, a high below the low; and no rows."""
    columns = series.columns
    if "close" not in columns:
        raise BundleError(
            f"{series.origin.name}: symbol {series.symbol} has no column `close`; its columns are "
            f"{', '.join(columns) or 'none'}. Rename the one with closing prices to `close`."
        )
    if not len(series.times):
        raise BundleError(f"{series.origin.name}: symbol {series.symbol} has no rows. Remove it, or add rows.")
    for name, values in columns.items():
        _refuse_values(series, np.isinf(values), name, "is infinite; leave the cell empty if the value is unknown")
        if name in PRICES:
            _refuse_values(
                series, values <= 0, name, "is not a price: prices are above 0; leave the cell empty if there is none"
            )
        if name == "volume":
            _refuse_values(series, values < 0, name, "is negative; leave the cell empty if the volume is unknown")
    if "high" in columns and "low" in columns:
        below = columns["high"] < columns["low"]
        if below.any():
            row = int(np.argmax(below))
            raise BundleError(
                f"{series.where(row)}: `high` {columns['high'][row]:g} is below `low` {columns['low'][row]:g}"
                f"{_more(int(below.sum()))}. Correct the row."
            )


def check_has_closes(series: Series) -> None:
    """Refuse a symbol without a closing price in any row."""
    if np.isnan(series.columns["close"]).all():
        raise BundleError(
            f"{series.origin.name}: symbol {series.symbol} has no closing price in any of its "
            f"{len(series.times):,} rows. Remove the symbol, or fill its `close`."
        )


def _refuse_values(series: Series, bad: BoolArray, name: str, why: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        value = series.columns[name][row]
        raise BundleError(f"{series.where(row)}: `{name}` {value:g} {why}{_more(int(bad.sum()))}.")


def _more(count: int) -> str:
    return "" if count == 1 else f" (and {count - 1:,} more such row{'s' * (count > 2)})"


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Rows of one symbol.

    Args:
        symbol: its name.
        origin: where the rows are, for messages.
        times: ``(n_rows,)`` UTC.
        tz: the time zone of the source's timestamps.
        columns: ``(n_rows,)`` values of each field.
        rows: ``(n_rows,)`` row numbers as `origin` counts them.
    """

    symbol: str
    origin: Origin
    times: TimeArray
    tz: str | None
    columns: Mapping[str, FloatArray]
    rows: IntArray

    def take(self, which: IntArray | BoolArray) -> Series:
        """Returns some of the rows."""
        columns = {name: values[which] for name, values in self.columns.items()}
        return replace(self, times=self.times[which], columns=columns, rows=self.rows[which])

    def sorted(self) -> Series:
        """Returns the rows in time order; rows of equal times keep their order."""
        if (self.times[1:] >= self.times[:-1]).all():
            return self
        return self.take(np.argsort(self.times, kind="stable"))

    def where(self, row: int) -> str:
        """Returns where a row is, for a message."""
        return self.origin.where(self.symbol, int(self.rows[row]), times.text(self.times[row], self.tz))

    def checked(self, fixes: frozenset[str], *, any_order: bool) -> Series:
        """Returns the rows in strict time order with valid values; `BundleError` for a fault that no fix corrects."""
        ordered = self.sorted() if any_order or "sort" in fixes else self
        if not any_order:
            check_time_order(ordered)
        unique = ordered.take(~repeated_rows(ordered, drop_equal="drop-duplicates" in fixes))
        check_prices(unique)
        check_has_closes(unique)
        return unique


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """All rows of a file, folder or frame.

    Args:
        series: one for each symbol, in the order of the bundle's columns.
        any_order: whether rows may be in any order (frames); otherwise each symbol's rows must be in time order (files).
        notes: metadata of the bundle.
    """

    series: Sequence[Series]
    any_order: bool
    notes: Mapping[str, str]

    def content(
        self,
        *,
        fixes: frozenset[str] = frozenset(),
        periods_per_year: float | None = None,
        listed_until: Mapping[str, Any] | None = None,
    ) -> Content:
        """Returns content with the bars of all symbols; NaN where a symbol has no row.

        Raises:
            BundleError: with file, symbol and row, if anything is wrong with the data.
        """
        series = [one.checked(fixes, any_order=self.any_order) for one in self.series]
        _check_consistent(series)
        first = series[0].times
        together = all(np.array_equal(one.times, first) for one in series)
        index = first if together else np.unique(np.concatenate([one.times for one in series]))
        fields = ordered_fields({field for one in series for field in one.columns})
        cells = len(index) * len(series) * len(fields)
        what = f"{len(index):,} bars of {len(series):,} symbols with {len(fields)} fields"
        memory_limit.check_bytes(
            8 * cells, what, "Each symbol has a value on each bar: check the dates and the symbols."
        )
        arrays = {field: np.full((len(index), len(series)), np.nan) for field in fields}
        for position, one in enumerate(series):
            bars = np.searchsorted(index, one.times)
            for field, values in one.columns.items():
                arrays[field][bars, position] = values
        symbols = tuple(one.symbol for one in series)
        return make_content(arrays, index, symbols, series[0].tz, periods_per_year, listed_until)


def _check_consistent(series: Sequence[Series]) -> None:
    """Refuse symbols with different time zones, and a standard field that only some symbols have."""
    first = series[0]
    for one in series[1:]:
        if one.tz != first.tz:
            raise BundleError(
                f"{one.origin.name}: the dates of {one.symbol} have {_zone(one.tz)}, and those of {first.symbol} in "
                f"{first.origin.name} have {_zone(first.tz)}. Give all of them one time zone, or none for UTC."
            )
        for field in STANDARD:
            if (field in one.columns) != (field in first.columns):
                having, lacking = (one, first) if field in one.columns else (first, one)
                raise BundleError(
                    f"{lacking.origin.name}: {lacking.symbol} has no column `{field}`, which {having.symbol} has in "
                    f"{having.origin.name}. Add it, or remove it from all symbols."
                )


def _zone(tz: str | None) -> str:
    return "no time zone" if tz is None else f"the time zone {tz}"
