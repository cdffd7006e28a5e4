"""Returns of calendar months and years, from a curve of wealth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rbt_ray.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class CalendarReturns:
    """Simple returns of months and years; NaN without a bar in it, or where wealth is not above 0.

    Args:
        years: ``(n_years,)`` from the first bar's to the last one's.
        months: ``(n_years, 12)`` from January to December.
        totals: ``(n_years,)`` of each year.
    """

    years: IntArray
    months: FloatArray
    totals: FloatArray


def calendar_returns(time_ms: FloatArray, wealth: FloatArray) -> CalendarReturns:
    """Returns the returns of each month and year in UTC, whose first and last one may be in part.

    A month's return is from the last bar before it to its last bar. The first month begins with a wealth of 1.

    Args:
        time_ms: ``(n_bars,)`` ascending, in milliseconds since 1970.
        wealth: ``(n_bars,)`` at the close of each bar, for a starting capital of 1.
    """
    month = time_ms.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
    first, last = int(month[0]) // 12, int(month[-1]) // 12
    years = np.arange(first, last + 1) + 1970
    months = np.full((len(years), 12), np.nan)
    rows, returns = _of_periods(month, wealth)
    months.flat[rows - 12 * first] = returns
    totals = np.full(len(years), np.nan)
    rows, returns = _of_periods(month // 12, wealth)
    totals[rows - first] = returns
    return CalendarReturns(years, months, totals)


def _of_periods(period: IntArray, wealth: FloatArray) -> tuple[IntArray, FloatArray]:
    """Returns the periods that have bars, and their returns."""
    ends = np.append(np.flatnonzero(np.diff(period)), len(period) - 1)
    at_end = wealth[ends]
    before = np.append(1.0, at_end[:-1])
    known = (before > 0) & np.isfinite(at_end)
    returns = np.full(len(ends), np.nan)
    returns[known] = at_end[known] / before[known] - 1.0
    return period[ends], returns
