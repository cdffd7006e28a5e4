"""Kernels of the indicators that numpy has no fast expression for.

Each takes ``(n_bars, n_symbols)`` and returns the same shape. The innermost loop is over symbols, which are contiguous in
memory, so that it is vectorised. Callers overwrite the results of windows that contain a NaN.
"""

from __future__ import annotations

import numpy as np

from rbt_ray.simulate.compiled import INTEGER, TABLE, compiled
from rbt_ray.types import FloatArray


@compiled(TABLE, INTEGER)
def spread(values: FloatArray, window: int) -> tuple[FloatArray, FloatArray]:
    """Returns the difference of each bar from the mean of its window, and the sample deviation of the window.

    Two passes over each window, relative to its first bar, lose no digits: equal values give exactly 0.
    """
    n_bars, n_symbols = values.shape
    above_mean = np.full((n_bars, n_symbols), np.nan)
    deviation = np.full((n_bars, n_symbols), np.nan)
    mean = np.empty(n_symbols)
    squares = np.empty(n_symbols)
    for t in range(window - 1, n_bars):
        first = values[t - window + 1]
        mean[:] = 0.0
        squares[:] = 0.0
        for k in range(t - window + 2, t + 1):
            for i in range(n_symbols):
                mean[i] += values[k, i] - first[i]
        for i in range(n_symbols):
            mean[i] /= window
        for k in range(t - window + 1, t + 1):
            for i in range(n_symbols):
                difference = values[k, i] - first[i] - mean[i]
                squares[i] += difference * difference
        for i in range(n_symbols):
            above_mean[t, i] = values[t, i] - first[i] - mean[i]
            deviation[t, i] = np.sqrt(squares[i] / (window - 1))
    return above_mean, deviation


@compiled(TABLE, INTEGER)
def highest(values: FloatArray, window: int) -> FloatArray:
    """Returns the highest value of each window.

    Keeps a queue of bars with falling values, each the highest from its bar on, so that the head is the highest of the
    window. A NaN empties it: all bars before it leave the window before the NaN does.
    """
    n_bars, n_symbols = values.shape
    result = np.full((n_bars, n_symbols), np.nan)
    queue = np.empty(n_bars, np.int64)
    for i in range(n_symbols):
        head, tail = 0, 0
        for t in range(n_bars):
            while tail > head and not values[queue[tail - 1], i] > values[t, i]:
                tail -= 1
            queue[tail] = t
            tail += 1
            if queue[head] <= t - window:
                head += 1
            if t >= window - 1:
                result[t, i] = values[queue[head], i]
    return result


@compiled(TABLE, INTEGER)
def exponential_mean(values: FloatArray, span: int) -> FloatArray:
    """Returns the exponential average, which restarts after a NaN and is NaN until there are `span` values."""
    n_bars, n_symbols = values.shape
    result = np.full((n_bars, n_symbols), np.nan)
    share = 2.0 / (span + 1.0)
    for i in range(n_symbols):
        seen, average = 0, 0.0
        for t in range(n_bars):
            value = values[t, i]
            if np.isnan(value):
                seen = 0
                continue
            average = value if seen == 0 else average + (value - average) * share
            seen += 1
            if seen >= span:
                result[t, i] = average
    return result


@compiled(TABLE, INTEGER)
def relative_strength(values: FloatArray, window: int) -> FloatArray:
    """Returns Wilder's relative strength index, which restarts after a NaN."""
    n_bars, n_symbols = values.shape
    result = np.full((n_bars, n_symbols), np.nan)
    for i in range(n_symbols):
        changes, gain, loss = -1, 0.0, 0.0
        for t in range(n_bars):
            if np.isnan(values[t, i]):
                changes, gain, loss = -1, 0.0, 0.0
                continue
            changes += 1
            if changes == 0:
                continue
            change = values[t, i] - values[t - 1, i]
            rise, fall = max(change, 0.0), max(-change, 0.0)
            # Wilder starts from the arithmetic mean of the first `window` changes.
            keep = 1.0 if changes <= window else (window - 1.0) / window
            gain = gain * keep + rise / window
            loss = loss * keep + fall / window
            if changes >= window:
                result[t, i] = 100.0 * (gain / (gain + loss)) if gain + loss > 0.0 else 50.0
    return result
