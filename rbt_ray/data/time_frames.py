"""TimeFrame: which bars make one bar of a coarser frame, and which of them closes it.

Hours and minutes count from the start of their day in elapsed time, so that a day of 23 or 25 hours has as many frames of an
hour, and no frame lies in two days. A day starts at midnight of the bundle's time zone. With the calendar of an exchange, it
starts at the close of the session before, and its hours count from the open of its session.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal, get_args

import numpy as np

from rbt_ray.data import times
from rbt_ray.data.times import TimeArray
from rbt_ray.errors import InputError
from rbt_ray.nearest import did_you_mean
from rbt_ray.types import IntArray

Closed = Literal["left", "right"]
"""Which end of a bar its time is: "left" is its start."""

_RULE = re.compile(r"([1-9][0-9]{0,3})(min|h)|1?([DWM])")
_MINUTE, _DAY = 60 * 10**9, 24 * 60 * 60 * 10**9
_LONGEST = {"D": _DAY, "W": 7 * _DAY, "M": 31 * _DAY}


@dataclass(frozen=True, slots=True)
class TimeFrame:
    """A frame of bars.

    Args:
        rule: the text that names it, such as "4h" or "1W".
        unit: "D", "W", "M", or "min" for hours and minutes.
        length: nanoseconds; of a month, those of the longest.
        calendar: an exchange that exchange_calendars knows; None: days start at midnight.
        closed: "left" if a bar's time is its start, "right" if it is its end.
    """

    rule: str
    unit: str
    length: int
    calendar: str | None
    closed: Closed

    @classmethod
    def parse(cls, rule: object, calendar: object, closed: object) -> TimeFrame:
        """Returns the frame of `data.resample(rule, calendar=calendar, closed=closed)`.

        Raises:
            InputError: an argument has another type or value.
        """
        found = _RULE.fullmatch(rule) if isinstance(rule, str) else None
        length = 0
        if found is not None:
            minutes = int(found[1] or 0) * (60 if found[2] == "h" else 1)
            length = _LONGEST[found[3]] if found[3] else minutes * _MINUTE
        if found is None or (not found[3] and length >= _DAY):
            raise InputError(
                f"`data.resample(rule)` takes minutes or hours below a day, such as '15min' and '4h', or '1D', '1W' (from "
                f"Monday) or '1M' (a calendar month); got {rule!r}."
            )
        if closed not in get_args(Closed):
            raise InputError(
                f"`closed` of `data.resample` is 'left' if the times of the bars are their starts, or 'right' if they are "
                f"their ends; got {closed!r}."
            )
        if calendar is not None and not isinstance(calendar, str):
            raise InputError(
                f"`calendar` of `data.resample` is the name of an exchange, such as 'XNYS', or None; got {calendar!r}."
            )
        return cls(str(rule), found[3] or "min", length, calendar, closed)  # type: ignore[arg-type]

    def last_bars(self, index: TimeArray, after: np.datetime64, tz: str | None) -> IntArray:
        """Returns the positions of the bars that close a frame, ascending: those whose next bar is in another frame.

        Args:
            index: ``(n_bars,)`` UTC.
            after: the time of the next bar after the last one.
            tz: the time zone of the bundle.
        """
        bars = np.append(index, after).astype("datetime64[ns]")
        moments = bars.astype(np.int64) - (self.closed == "right")
        first, last = bars[[0, -1]].astype("datetime64[D]").tolist()
        days = _midnights(first, last, tz) if self.calendar is None else _sessions(first, last, self.calendar)
        day = np.searchsorted(days.starts, moments, side="right") - 1
        if self.unit == "min":
            part = (moments - days.opens[day]) // self.length
            changes = (np.diff(day) != 0) | (np.diff(part) != 0)
        else:
            changes = np.diff(_PERIODS[self.unit](days.dates[day])) != 0
        return np.flatnonzero(changes)


def _number(dates: TimeArray) -> IntArray:
    return dates.astype(np.int64)


def _week(dates: TimeArray) -> IntArray:
    return (dates.astype(np.int64) + 3) // 7  # day 0, 1970-01-01, was a Thursday


def _month(dates: TimeArray) -> IntArray:
    return dates.astype("datetime64[M]").astype(np.int64)


_PERIODS = {"D": _number, "W": _week, "M": _month}


@dataclass(frozen=True, slots=True)
class _Days:
    """Days without gaps between them.

    Args:
        starts: ``(n_days,)`` nanoseconds since 1970, UTC, at which each begins.
        opens: ``(n_days,)`` nanoseconds from which its hours count.
        dates: ``(n_days,)`` datetime64[D].
    """

    starts: IntArray
    opens: IntArray
    dates: TimeArray


def _midnights(first: date, last: date, tz: str | None) -> _Days:
    """Returns the days of a time zone from the one before a UTC date to the one after another."""
    dates = np.arange(np.datetime64(first, "D") - 1, np.datetime64(last, "D") + 2)
    starts = np.array([times.to_utc(day, tz) for day in dates.tolist()], "datetime64[ns]").astype(np.int64)
    return _Days(starts, starts, dates)


def _sessions(first: date, last: date, calendar: str) -> _Days:
    """Returns the sessions of an exchange that close from a UTC date on, to one that closes after another."""
    return _sessions_of_years((first - timedelta(1)).year, (last + timedelta(31)).year, calendar)


@functools.lru_cache(maxsize=8)  # exchange_calendars takes a quarter of a second
def _sessions_of_years(first: int, last: int, calendar: str) -> _Days:
    try:
        import exchange_calendars
    except ImportError:
        raise InputError(
            f"`data.resample(..., calendar={calendar!r})` needs exchange_calendars, which is not installed: "
            "pip install 'rbt-ray[calendars]'."
        ) from None
    names = exchange_calendars.get_calendar_names()
    if calendar not in names:
        raise InputError(
            f"`calendar` of `data.resample` is an exchange that exchange_calendars knows, such as 'XNYS' (New York) or "
            f"'XLON' (London); got {calendar!r}{': ' + hint if (hint := did_you_mean(calendar, names)) else '.'}"
        )
    try:
        found: Any = exchange_calendars.get_calendar(calendar, start=f"{first}-01-01", end=f"{last}-12-31")
    except ValueError as error:
        raise InputError(f"`data.resample(..., calendar={calendar!r})`: {error}") from None
    schedule = found.schedule
    opens, closes = (
        schedule[name].dt.tz_convert(None).to_numpy("datetime64[ns]").astype(np.int64) for name in ("open", "close")
    )
    before_all = np.iinfo(np.int64).min
    return _Days(np.append(before_all, closes[:-1]), opens, schedule.index.to_numpy("datetime64[D]"))
