"""Spans of the calendar, such as "4y" or "6ME", and the bars on which periods of them begin."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from rbt_ray.data import times

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle

_SPAN = re.compile(r"([1-9][0-9]{0,4})(YE|QE|ME|Y|Q|M|W|D)", re.IGNORECASE)
_MONTHS = {"Y": 12, "Q": 3, "M": 1}
_DAYS = {"W": 7, "D": 1}


@dataclass(frozen=True, slots=True)
class Span:
    """A number of months and days; periods with `aligned` months end when a calendar month, quarter or year ends."""

    months: int
    days: int
    aligned: int = 0

    @classmethod
    def parse(cls, text: str) -> Span | None:
        """Returns the span of a text: a number and Y, Q, M, W, D, or YE, QE, ME for calendar years, quarters and months."""
        found = _SPAN.fullmatch(text.strip())
        if found is None:
            return None
        n, unit = int(found[1]), found[2].upper()
        months = _MONTHS.get(unit[0], 0)
        return cls(n * months, n * _DAYS.get(unit[0], 0), months if unit.endswith("E") else 0)

    def after(self, day: date, n: int = 1) -> date:
        """Returns the day `n` spans after another; before it, if `n` is negative. A month without that day ends it."""
        months = day.year * 12 + day.month - 1 + n * self.months
        year, month = months // 12, months % 12 + 1
        moved = date(year, month, min(day.day, calendar.monthrange(year, month)[1]))
        return moved + timedelta(n * self.days)

    def aligned_from(self, day: date) -> date:
        """Returns the first day from `day` on that begins a calendar period, if the span is aligned; else `day`."""
        if not self.aligned:
            return day
        months = day.year * 12 + day.month - 1 + (day.day > 1)
        months = -(-months // self.aligned) * self.aligned
        return date(months // 12, months % 12 + 1, 1)


def first_day(bundle: Bundle) -> date:
    """Returns the day of the first bar, in the bundle's time zone."""
    stamp = datetime.fromisoformat(str(bundle.index[0].astype("datetime64[us]"))).replace(tzinfo=UTC)
    return stamp.astimezone(times.zone(bundle.tz)).date()


def bar_on(bundle: Bundle, day: date) -> int:
    """Returns the position of the first bar on or after a day, in the bundle's time zone."""
    return int(np.searchsorted(bundle.index, times.to_utc(day, bundle.tz)))
