"""Computes where a fast moving average of the closes is above a slow one, for many pairs of windows at once."""

from __future__ import annotations

import numpy as np
from numba import float64, uint64
from numpy.typing import NDArray

from rbt_ray.objectives.sweep.bits import ONE, WORD_TABLE
from rbt_ray.objectives.sweep.layout import LEAD, TILE, WIDTH, WORDS
from rbt_ray.objectives.sweep.simd import above, load, popcount, set_byte, splat, store, where_equal
from rbt_ray.objectives.sweep.statistics import inlined
from rbt_ray.simulate.compiled import COUNTS, INTEGER, VECTOR, compiled
from rbt_ray.types import FloatArray, IntArray

ZERO = np.uint64(0)
_STEPS = tuple(np.uint64(step) for step in (1, 2, 4, 8, 16, 32))


@inlined  # type: ignore[untyped-decorator]
def _deposit(bits: np.uint64, there: np.uint64) -> np.uint64:
    """Moves the lowest bits of `bits` to the positions of the bits set in `there`: each gap shifts the bits above it by one."""
    up_to_last = there
    for step in _STEPS:
        up_to_last |= up_to_last >> step
    holes = up_to_last & ~there
    while holes != ZERO:
        below = (holes & (~holes + ONE)) - ONE
        bits = (bits & below) | ((bits & ~below) << ONE)
        holes &= holes - ONE
    return bits & there


@inlined  # type: ignore[untyped-decorator]
def _spread(words: NDArray[np.uint64], at: int, there: NDArray[np.uint64], there_at: int) -> None:
    """Moves the contiguous bits of a tile's closes to the bars that have a close; other bars get 0."""
    low, high = words[at], words[at + 1]
    first = there[there_at]
    words[at] = _deposit(low, first)
    count = popcount(first)
    if count == np.uint64(64):
        low = high
    elif count > np.uint64(0):
        low = (low >> count) | (high << (np.uint64(64) - count))
    words[at + 1] = _deposit(low, there[there_at + 1])


@compiled(
    VECTOR, VECTOR, COUNTS, WORD_TABLE, COUNTS, VECTOR, COUNTS, COUNTS, INTEGER, INTEGER, INTEGER, INTEGER,
    float64[::1], uint64[::1],
)  # fmt: skip
def crossings(
    sums: FloatArray,
    numbers: FloatArray,
    starts: IntArray,
    there: NDArray[np.uint64],
    windows: IntArray,
    scales: FloatArray,
    fast: IntArray,
    slow: IntArray,
    n_symbols: int,
    first: int,
    tiles: int,
    n_rows: int,
    averages: FloatArray,
    words: NDArray[np.uint64],
) -> None:
    """Writes the positions of every config over some tiles.

    Each average is computed once per tile and symbol, and stays in the cache while the pairs are compared. It is
    `(sum[t] - sum[t - window]) / window`, as in `data.sma`, and NaN unless the window holds `window` closes.

    Args:
        sums: running sum of closes, ``(n_symbols, LEAD + bars)`` flat; see `layout.running_sums`.
        numbers: running count of closes, of the same shape.
        starts: ``(n_tiles, n_symbols)`` flat: the index of the first close of a tile among those of the symbol.
        there: bits of the bars with a close; empty without missing bars.
        windows: ``(n_averages,)`` distinct windows.
        scales: ``(n_averages,)`` factor of each average before the comparison.
        fast: ``(n_configs,)`` index of the fast average of a config.
        slow: ``(n_configs,)`` index of its slow average.
        n_symbols: symbols.
        first: the first tile.
        tiles: number of tiles.
        n_rows: rows of `words`.
        averages: ``(n_averages, 128)`` flat: scratch memory.
        words: ``(tiles, n_rows, n_symbols, 2)`` flat: the positions.
    """
    octets = words.view(np.uint8)
    stride = len(sums) // n_symbols
    missing = splat(np.nan)
    for tile in range(first, first + tiles):
        for i in range(n_symbols):
            start = starts[tile * n_symbols + i]
            bar = i * stride + LEAD + start
            for a in range(len(windows)):
                window = windows[a]
                length = splat(np.float64(window))
                scale = splat(scales[a])
                for j in range(0, TILE, WIDTH):
                    average = missing
                    if start + j + WIDTH >= window:
                        total = load(sums, bar + j) - load(sums, bar + j - window)
                        number = load(numbers, bar + j) - load(numbers, bar + j - window)
                        average = where_equal(number, length, total / length * scale, missing)
                    store(averages, a * TILE + j, average)
            for c in range(len(fast)):
                left, right = fast[c] * TILE, slow[c] * TILE
                to = (((tile - first) * n_rows + c) * n_symbols + i) * WORDS * 8
                for j in range(TILE // WIDTH):
                    set_byte(octets, to + j, above(load(averages, left + j * WIDTH), load(averages, right + j * WIDTH)))
                if len(there) > 0:
                    _spread(words, to // 8, there, (tile * n_symbols + i) * WORDS)
