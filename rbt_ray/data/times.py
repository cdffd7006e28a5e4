"""Timestamps: reading and formatting them, spans of the calendar such as "4y", and how many bars make a year."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

TimeArray: TypeAlias = NDArray[np.datetime64]
"""``(n_bars,)`` datetime64[ns], UTC."""

BUSINESS_DAYS, CALENDAR_DAYS = 252.0, 365.0
_BY_MEDIAN_GAP = ((5, 10, 52.0), (26, 35, 12.0), (85, 95, 4.0), (355, 375, 1.0))
"""Shortest gap in days, longest gap, periods in a year."""
_SPAN = re.compile(r"([1-9][0-9]{0,4})(YE|QE|ME|Y|Q|M|W|D)", re.IGNORECASE)
_MONTHS = {"Y": 12, "Q": 3, "M": 1}
_DAYS = {"W": 7, "D": 1}


def periods_per_year(index: TimeArray) -> float:
    """Infers the number of bars in a year from their spacing.

    Daily bars: 252, or 365 if Saturdays and Sundays are traded like weekdays. Several bars a day: the median number of
    bars on a trading day times 252 or 365. Weekly 52, monthly 12, quarterly 4, yearly 1. Any other spacing: the number of
    bars divided by the years they span. A single bar counts as daily.

    Args:
        index: ``(n_bars,)`` strictly increasing UTC timestamps. Days are UTC days: a session that crosses midnight
            is split, but the median day still has as many bars as a session.
    """
    days, bars_a_day = np.unique(index.astype("datetime64[D]"), return_counts=True)
    a_year = CALENDAR_DAYS if _weekends_are_traded(days) else BUSINESS_DAYS
    bars = float(np.median(bars_a_day))
    if bars > 1:
        return bars * a_year
    if len(days) == 1:
        return BUSINESS_DAYS
    gap = float(np.median(np.diff(days).astype(np.int64)))
    if gap <= 1 or np.median(np.busday_count(days[:-1], days[1:])) == 1:
        return a_year
    for shortest, longest, periods in _BY_MEDIAN_GAP:
        if shortest <= gap <= longest:
            return periods
    span = int((days[-1] - days[0]).astype(np.int64))
    return round(365.25 * (len(index) - 1) / span, 2)


def _weekends_are_traded(days: TimeArray) -> bool:
    """Whether Saturdays and Sundays each occur at least half as often as the average weekday."""
    weekday = (days.astype(np.int64) + 3) % 7  # day 0, 1970-01-01, was a Thursday
    counts = np.bincount(weekday, minlength=7)
    weekdays = counts[:5].mean()
    return bool(weekdays > 0 and 2 * counts[5:].min() >= weekdays)


def zone(tz: str | None) -> tzinfo:
    """Returns the time zone of that name, UTC for None; the names of fixed offsets are those of pandas: ``UTC-05:00``."""
    if tz is None or tz == "UTC":
        return UTC
    try:
        return ZoneInfo(tz)
    except (ZoneInfoNotFoundError, ValueError):
        return timezone(offset(tz.removeprefix("UTC")))


def offset(text: str) -> timedelta:
    """Returns the offset from UTC that a text names: ``-05:00``, ``-0500``, ``-05`` or ``Z``; ValueError for other texts."""
    return datetime.strptime(text if text == "Z" or len(text) > 3 else text + "00", "%z").utcoffset() or timedelta(0)


def to_utc(moment: date, tz: str | None) -> np.datetime64:
    """Returns the UTC instant of a datetime, or of a date's midnight, in `tz` unless it has a time zone of its own."""
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone(tz))
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "ns")


def instant(value: object, tz: str | None) -> np.datetime64 | None:
    """Returns the UTC instant of a date, datetime, datetime64 or ISO text, as `to_utc` does; None for anything else."""
    if isinstance(value, np.datetime64) and not np.isnat(value):
        value = str(value.astype("datetime64[us]"))
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, date) or value != value:  # pandas' NaT is a date that does not equal itself
        return None
    return to_utc(value, tz)


def text(moment: np.datetime64, tz: str | None = None) -> str:
    """Returns the text of an instant in a time zone; at midnight the date alone."""
    stamp = datetime.fromisoformat(str(moment.astype("datetime64[us]"))).replace(tzinfo=UTC).astimezone(zone(tz))
    midnight = (stamp.hour, stamp.minute, stamp.second, stamp.microsecond) == (0, 0, 0, 0)
    if midnight:
        return stamp.date().isoformat()
    return stamp.replace(tzinfo=None if tz is None else stamp.tzinfo).isoformat(" ")


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


def first_day(index: TimeArray, tz: str | None) -> date:
    """Returns the day of the first bar in a time zone."""
    stamp = datetime.fromisoformat(str(index[0].astype("datetime64[us]"))).replace(tzinfo=UTC)
    return stamp.astimezone(zone(tz)).date()


def bar_on(index: TimeArray, tz: str | None, day: date) -> int:
    """Returns the position of the first bar on or after a day of a time zone."""
    return int(np.searchsorted(index, to_utc(day, tz)))
