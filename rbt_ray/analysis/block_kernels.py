"""Kernels over subsets of blocks. A sum over a subset is the sum of two table entries, one for each half of the blocks.

Trials are processed a few at a time, so that their tables stay in the processor's cache.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import int64

from rbt_ray.analysis.sharpe import CONSTANT
from rbt_ray.simulate.compiled import COUNTS, TABLE, VECTOR, compiled
from rbt_ray.types import FloatArray, IntArray

_TOGETHER = 64
"""Trials whose tables are held at a time: 512 kB for 16 blocks."""
_TRIALS = int64[::1]


@numba.njit(inline="always", error_model="numpy")  # type: ignore[untyped-decorator]
def _ratio(total: float, squares: float, n_bars: float) -> float:
    """Returns ``total * abs(total)`` over the squared deviations, which ranks as the Sharpe ratio; -inf if constant."""
    deviations = squares - total * total / n_bars
    return total * abs(total) / deviations if deviations > CONSTANT * squares else -np.inf


@numba.njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _fill(table: FloatArray, values: FloatArray, first: int, n_trials: int, start: int, stop: int) -> None:
    """Writes the sums of every subset of the columns `start` to `stop` of some rows, a row of the table per subset."""
    table[0, :n_trials] = 0.0
    for k in range(stop - start):
        for subset in range(1 << k):
            for i in range(n_trials):
                table[(1 << k) + subset, i] = table[subset, i] + values[first + i, start + k]


@numba.njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _subset_sum(values: FloatArray, start: int, subset: int) -> float:
    """Returns the sum of one subset, added in the order of `_fill`."""
    total, k = 0.0, 0
    while subset >> k:
        if subset >> k & 1:
            total += values[start + k]
        k += 1
    return total


@compiled(TABLE, TABLE, COUNTS, VECTOR)
def best_in_subsets(
    sums: FloatArray, squares: FloatArray, subsets: IntArray, n_bars: FloatArray
) -> tuple[IntArray, FloatArray]:
    """Returns the row with the highest Sharpe ratio in each subset, the first of equals, and its ratio (see `_ratio`).

    Args:
        sums: ``(n_trials, n_blocks)`` sums of returns.
        squares: ``(n_trials, n_blocks)`` sums of their squares.
        subsets: ``(n_subsets,)`` bit `k` is set where block `k` belongs to the subset.
        n_bars: ``(n_subsets,)`` bars of each subset.
    """
    n_trials, n_blocks = sums.shape
    half = n_blocks // 2
    low_sums, low_squares = np.empty((1 << half, _TOGETHER)), np.empty((1 << half, _TOGETHER))
    rest = n_blocks - half
    high_sums, high_squares = np.empty((1 << rest, _TOGETHER)), np.empty((1 << rest, _TOGETHER))
    best = np.zeros(len(subsets), np.int64)
    highest = np.full(len(subsets), -np.inf)
    ratios = np.empty(_TOGETHER)
    for first in range(0, n_trials, _TOGETHER):
        n = min(_TOGETHER, n_trials - first)
        _fill(low_sums, sums, first, n, 0, half)
        _fill(low_squares, squares, first, n, 0, half)
        _fill(high_sums, sums, first, n, half, n_blocks)
        _fill(high_squares, squares, first, n, half, n_blocks)
        for row in range(len(subsets)):
            low, high = subsets[row] & ((1 << half) - 1), subsets[row] >> half
            limit, n_above = highest[row], 0
            for i in range(n):
                ratio = _ratio(
                    low_sums[low, i] + high_sums[high, i], low_squares[low, i] + high_squares[high, i], n_bars[row]
                )
                ratios[i] = ratio
                n_above += ratio > limit
            if n_above:
                at = np.argmax(ratios[:n])
                best[row], highest[row] = first + at, ratios[at]
    return best, highest


@compiled(TABLE, TABLE, COUNTS, VECTOR, _TRIALS)
def rank_in_subsets(
    sums: FloatArray, squares: FloatArray, subsets: IntArray, n_bars: FloatArray, chosen: IntArray
) -> tuple[FloatArray, IntArray, IntArray]:
    """Returns the ratio of a chosen row in each subset, and the numbers of rows with a lower and with an equal one.

    Args:
        sums: as of `best_in_subsets`.
        squares: as of `best_in_subsets`.
        subsets: as of `best_in_subsets`.
        n_bars: as of `best_in_subsets`.
        chosen: ``(n_subsets,)`` a row for each subset, which is counted among the equal ones.
    """
    n_trials, n_blocks = sums.shape
    half = n_blocks // 2
    low_sums, low_squares = np.empty((1 << half, _TOGETHER)), np.empty((1 << half, _TOGETHER))
    rest = n_blocks - half
    high_sums, high_squares = np.empty((1 << rest, _TOGETHER)), np.empty((1 << rest, _TOGETHER))
    theirs = np.empty(len(subsets))
    lower, equal = np.zeros(len(subsets), np.int64), np.zeros(len(subsets), np.int64)
    for row in range(len(subsets)):
        low, high = subsets[row] & ((1 << half) - 1), subsets[row] >> half
        at = chosen[row]
        theirs[row] = _ratio(
            _subset_sum(sums[at], 0, low) + _subset_sum(sums[at], half, high),
            _subset_sum(squares[at], 0, low) + _subset_sum(squares[at], half, high),
            n_bars[row],
        )
    for first in range(0, n_trials, _TOGETHER):
        n = min(_TOGETHER, n_trials - first)
        _fill(low_sums, sums, first, n, 0, half)
        _fill(low_squares, squares, first, n, 0, half)
        _fill(high_sums, sums, first, n, half, n_blocks)
        _fill(high_squares, squares, first, n, half, n_blocks)
        for row in range(len(subsets)):
            low, high = subsets[row] & ((1 << half) - 1), subsets[row] >> half
            limit = theirs[row]
            n_lower, n_equal = 0, 0
            for i in range(n):
                ratio = _ratio(
                    low_sums[low, i] + high_sums[high, i], low_squares[low, i] + high_squares[high, i], n_bars[row]
                )
                n_lower += ratio < limit
                n_equal += ratio == limit
            lower[row] += n_lower
            equal[row] += n_equal
    return theirs, lower, equal


@compiled(TABLE)
def highest_over_flips(scores: FloatArray) -> FloatArray:
    """Returns the highest signed sum of any row, for each way to give the columns signs.

    Args:
        scores: ``(n_trials, n_blocks)``.

    Returns:
        ``(2**n_blocks,)``: bit `k` of the index is set where column `k` is added, and clear where it is subtracted.
    """
    n_trials, n_blocks = scores.shape
    half = n_blocks // 2
    n_low, n_high = 1 << half, 1 << (n_blocks - half)
    highest = np.full((n_high, n_low), -np.inf)
    together = 16
    low, high = np.empty((together, n_low)), np.empty((together, n_high))
    for first in range(0, n_trials, together):
        n = min(together, n_trials - first)
        for i in range(n):
            row = scores[first + i]
            all_low, all_high = _subset_sum(row, 0, n_low - 1), _subset_sum(row, half, n_high - 1)
            for subset in range(n_low):
                low[i, subset] = 2 * _subset_sum(row, 0, subset) - all_low
            for subset in range(n_high):
                high[i, subset] = 2 * _subset_sum(row, half, subset) - all_high
        for subset in range(n_high):
            for i in range(n):
                for other in range(n_low):
                    total = low[i, other] + high[i, subset]
                    if total > highest[subset, other]:
                        highest[subset, other] = total
    return highest.ravel()
