"""One symbol's rows as they came, and where they came from; and how symbols are put on common bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rbt_ray.data import checks, memory_limit, times
from rbt_ray.data.checks import Origin
from rbt_ray.data.content import Content, make
from rbt_ray.data.fields import STANDARD, in_order
from rbt_ray.data.times import TimeArray
from rbt_ray.errors import BundleError
from rbt_ray.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Rows of one symbol.

    Args:
        symbol: its name.
        origin: where the rows are, for messages.
        times: ``(n_rows,)`` UTC.
        tz: the time zone they came in.
        columns: a field each, ``(n_rows,)``.
        rows: ``(n_rows,)`` row numbers as `origin` counts them.
    """

    symbol: str
    origin: Origin
    times: TimeArray
    tz: str | None
    columns: Mapping[str, FloatArray]
    rows: IntArray

    def take(self, which: IntArray | BoolArray) -> Series:
        """Some of the rows."""
        columns = {name: values[which] for name, values in self.columns.items()}
        return replace(self, times=self.times[which], columns=columns, rows=self.rows[which])

    def sorted(self) -> Series:
        """The rows in time order; equal times stay in the order they came."""
        if (self.times[1:] >= self.times[:-1]).all():
            return self
        return self.take(np.argsort(self.times, kind="stable"))

    def where(self, row: int) -> str:
        """The row as a person finds it."""
        return self.origin.where(self.symbol, int(self.rows[row]), times.text(self.times[row], self.tz))

    def checked(self, fixes: frozenset[str], *, any_order: bool) -> Series:
        """The rows in strict time order, every value usable; `BundleError` where they are not and no fix was asked."""
        ordered = self.sorted() if any_order or "sort" in fixes else self
        if not any_order:
            checks.in_time_order(ordered)
        unique = ordered.take(~checks.repeats(ordered, drop_equal="drop-duplicates" in fixes))
        checks.prices(unique)
        checks.has_closes(unique)
        return unique


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Everything that was read from one place.

    Args:
        series: one a symbol, in the order the bundle is to have.
        any_order: rows may come in any order (frames); otherwise each symbol's rows must ascend in time (files).
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
        """The symbols on all their bars together: NaN where one has no row.

        Raises:
            BundleError: with file, symbol and row, if anything is wrong with the data.
        """
        series = [one.checked(fixes, any_order=self.any_order) for one in self.series]
        _same_kind(series)
        first = series[0].times
        together = all(np.array_equal(one.times, first) for one in series)
        index = first if together else np.unique(np.concatenate([one.times for one in series]))
        fields = in_order({field for one in series for field in one.columns})
        cells = len(index) * len(series) * len(fields)
        what = f"{len(index):,} bars of {len(series):,} symbols with {len(fields)} fields"
        memory_limit.check_bytes(
            8 * cells, what, "Every symbol has a place on every bar: are dates and symbols what they should be?"
        )
        arrays = {field: np.full((len(index), len(series)), np.nan) for field in fields}
        for position, one in enumerate(series):
            bars = np.searchsorted(index, one.times)
            for field, values in one.columns.items():
                arrays[field][bars, position] = values
        symbols = tuple(one.symbol for one in series)
        return make(arrays, index, symbols, series[0].tz, periods_per_year, listed_until)


def _same_kind(series: Sequence[Series]) -> None:
    """Refuse what cannot be put side by side: another time zone, a usual field that only some symbols have."""
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
