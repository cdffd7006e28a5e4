"""Indicators on tables of prices: ``(n_bars, n_symbols)`` in, ``(n_bars, n_symbols)`` float64 out.

All are causal: the result of the first bars equals, bit for bit, the first bars of the result. Windows count the bars of
each symbol: bars without a value are not in a window, and have the result of the last bar with a value. All indicators
are NaN until a symbol has had `window` values.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from rbt_ray.errors import SettingError, ShapeError
from rbt_ray.simulate.floats import floats
from rbt_ray.types import BoolArray, FloatArray, IntArray


def sma(values: ArrayLike, window: int) -> FloatArray:
    """Returns the mean of the last `window` bars, from differences of running sums.

    The sums start at the first bar, so the error is about 1e-16 of the sum of all values so far, or 1e-13 of the mean
    after 5,000 bars. Compare averages with a larger margin.

    Args:
        values: ``(n_bars, n_symbols)``.
        window: bars, at least 1.

    Raises:
        ShapeError: `values` is not a table.
        SettingError: `window` is not such a number.
    """
    return _over_own_bars(_mean, _table(values), _window(window))


rolling_mean = sma


def ema(values: ArrayLike, span: int) -> FloatArray:
    """Returns the exponential average ``e = e + (x - e) * 2 / (span + 1)``, which starts at the first value.

    Args:
        values: ``(n_bars, n_symbols)``.
        span: bars, at least 1; the result is NaN until a symbol has that many bars.

    Raises:
        ShapeError: `values` is not a table.
        SettingError: `span` is not such a number.
    """
    from rbt_ray.simulate import rolling

    return _over_own_bars(rolling.exponential_mean, _table(values), _window(span, "span"))


def rolling_std(values: ArrayLike, window: int) -> FloatArray:
    """Returns the sample deviation (``ddof=1``) of the last `window` bars; exactly 0 if they are equal.

    Args:
        values: ``(n_bars, n_symbols)``.
        window: bars, at least 2.

    Raises:
        ShapeError: `values` is not a table.
        SettingError: `window` is not such a number.
    """
    return _over_own_bars(_deviation, _table(values), _window(window, least=2))


def zscore(values: ArrayLike, window: int) -> FloatArray:
    """Returns the distance of each bar from the mean of the last `window`, in sample deviations (``ddof=1``).

    The window includes the bar. The result is NaN if its values are equal.

    Args:
        values: ``(n_bars, n_symbols)``.
        window: bars, at least 2.

    Raises:
        ShapeError: `values` is not a table.
        SettingError: `window` is not such a number.
    """
    return _over_own_bars(_score, _table(values), _window(window, least=2))


def rolling_max(values: ArrayLike, window: int) -> FloatArray:
    """Returns the highest of the last `window` bars.

    Args:
        values: ``(n_bars, n_symbols)``.
        window: bars, at least 1.

    Raises:
        ShapeError: `values` is not a table.
        SettingError: `window` is not such a number.
    """
    return _over_own_bars(_highest, _table(values), _window(window))


def rolling_min(values: ArrayLike, window: int) -> FloatArray:
    """Returns the lowest of the last `window` bars.

    Args:
        values: ``(n_bars, n_symbols)``.
        window: bars, at least 1.

    Raises:
        ShapeError: `values` is not a table.
        SettingError: `window` is not such a number.
    """
    return -rolling_max(-_table(values), window)


def rsi(values: ArrayLike, window: int) -> FloatArray:
    """Returns Wilder's relative strength index, 0 to 100; 50 if nothing has moved.

    It is ``100 * (gain / (gain + loss))``. The average gain and loss start as the arithmetic means of the first `window`
    changes, and then move by ``1 / window`` of the difference. The result is NaN for the first `window` bars.

    Args:
        values: ``(n_bars, n_symbols)``.
        window: bars, at least 1; Wilder used 14.

    Raises:
        ShapeError: `values` is not a table.
        SettingError: `window` is not such a number.

    Source:
        Wilder (1978), "New Concepts in Technical Trading Systems".
    """
    from rbt_ray.simulate import rolling

    return _over_own_bars(rolling.relative_strength, _table(values), _window(window))


def momentum(values: ArrayLike, window: int) -> FloatArray:
    """Returns the return over the last `window` bars, ``x[t] / x[t - window] - 1``; NaN for the first `window`.

    Args:
        values: ``(n_bars, n_symbols)``.
        window: bars, at least 1.

    Raises:
        ShapeError: `values` is not a table.
        SettingError: `window` is not such a number.
    """
    return _over_own_bars(_change, _table(values), _window(window))


def _over_own_bars(indicator: Callable[[FloatArray, int], FloatArray], table: FloatArray, window: int) -> FloatArray:
    """Returns the indicator over the bars of each symbol; bars without a value repeat the result before."""
    there = ~np.isnan(table)
    if there.all() or not (~there & (begun := np.logical_or.accumulate(there, axis=0))).any():
        return indicator(table, window)
    counts: IntArray = np.cumsum(there, axis=0, dtype=np.int64)
    own_bars_first = np.argsort(~there, axis=0, kind="stable")
    packed = indicator(np.ascontiguousarray(np.take_along_axis(table, own_bars_first, axis=0)), window)
    return np.where(begun, np.take_along_axis(packed, np.maximum(counts - 1, 0), axis=0), np.nan)


def _mean(table: FloatArray, window: int) -> FloatArray:
    missing = np.isnan(table)
    sums = np.cumsum(np.where(missing, 0.0, table) if missing.any() else table, axis=0)
    means = np.empty(table.shape)
    means[: window - 1] = np.nan
    means[window - 1 : window] = sums[window - 1 : window]
    np.subtract(sums[window:], sums[:-window], out=means[window:])
    means /= window
    return _only_whole(means, missing, window)


def _deviation(table: FloatArray, window: int) -> FloatArray:
    from rbt_ray.simulate import rolling

    return _only_whole(rolling.spread(table, window)[1], np.isnan(table), window)


def _score(table: FloatArray, window: int) -> FloatArray:
    from rbt_ray.simulate import rolling

    above_mean, deviation = rolling.spread(table, window)
    score = np.full(deviation.shape, np.nan)
    np.divide(above_mean, deviation, out=score, where=deviation > 0.0)
    return _only_whole(score, np.isnan(table), window)


def _highest(table: FloatArray, window: int) -> FloatArray:
    from rbt_ray.simulate import rolling

    return _only_whole(rolling.highest(table, window), np.isnan(table), window)


def _change(table: FloatArray, window: int) -> FloatArray:
    change = np.full(table.shape, np.nan)
    change[window:] = table[window:] / table[:-window] - 1.0
    return change


def _only_whole(result: FloatArray, missing: BoolArray, window: int) -> FloatArray:
    """Returns `result` with NaN where one of the last `window` bars is missing."""
    if missing.any():
        counts: IntArray = np.cumsum(missing, axis=0, dtype=np.int64)
        counts[window:] -= counts[:-window].copy()
        result[counts > 0] = np.nan
    return result


def _table(values: ArrayLike) -> FloatArray:
    try:
        table = np.ascontiguousarray(floats(values))
    except (TypeError, ValueError) as error:
        raise ShapeError(f"`values` is an array of numbers of shape (n_bars, n_symbols); {error}.") from error
    if np.ndim(values) != 2:
        raise ShapeError(
            f"`values` has shape (n_bars, n_symbols); got {np.shape(values)}. For one symbol, pass values[:, None]."
        )
    return table


def _window(window: int, name: str = "window", least: int = 1) -> int:
    try:
        bars = operator.index(window)
    except TypeError:
        bars = 0
    if bars < least:
        raise SettingError(f"`{name}` is a whole number of bars, at least {least}; got {window!r}.")
    return bars
