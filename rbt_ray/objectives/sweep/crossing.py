"""Where a fast moving average of the closes is above a slow one, for many pairs of windows at once."""

from __future__ import annotations

import numpy as np
from numba import float64, uint64
from numpy.typing import NDArray

from rbt_ray.objectives.sweep.lanes import above, load, set_byte, splat, store, where_equal
from rbt_ray.objectives.sweep.layout import LANES, LEAD, TILE, WORDS
from rbt_ray.simulate.compiled import COUNTS, INTEGER, VECTOR, compiled
from rbt_ray.types import FloatArray, IntArray


@compiled(VECTOR, VECTOR, COUNTS, VECTOR, COUNTS, COUNTS, INTEGER, INTEGER, INTEGER, INTEGER, float64[::1], uint64[::1])
def crossings(
    sums: FloatArray,
    numbers: FloatArray,
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

    Each average is computed once a tile and symbol, and stays in the cache while the pairs are compared. It is
    `(sum[t] - sum[t - window]) / window`, as `data.sma` has it, and NaN unless the window holds `window` closes.

    Args:
        sums: running sum of closes, ``(n_symbols, LEAD + bars)`` flat; see `layout.running_sums`.
        numbers: running number of closes, of the same shape.
        windows: ``(n_averages,)`` distinct windows.
        scales: ``(n_averages,)`` what each average is multiplied with before it is compared.
        fast: ``(n_configs,)`` which average is a config's fast one.
        slow: ``(n_configs,)`` which is its slow one.
        n_symbols: symbols.
        first: the first tile.
        tiles: how many.
        n_rows: configs `words` has room for.
        averages: ``(n_averages, 128)`` flat: room to work in.
        words: ``(tiles, n_rows, n_symbols, 2)`` flat: the positions.
    """
    octets = words.view(np.uint8)
    stride = len(sums) // n_symbols
    missing = splat(np.nan)
    for tile in range(first, first + tiles):
        for i in range(n_symbols):
            bar = i * stride + LEAD + tile * TILE
            for a in range(len(windows)):
                window = windows[a]
                length = splat(np.float64(window))
                scale = splat(scales[a])
                for j in range(0, TILE, LANES):
                    average = missing
                    if tile * TILE + j + LANES >= window:
                        total = load(sums, bar + j) - load(sums, bar + j - window)
                        number = load(numbers, bar + j) - load(numbers, bar + j - window)
                        average = where_equal(number, length, total / length * scale, missing)
                    store(averages, a * TILE + j, average)
            for c in range(len(fast)):
                left, right = fast[c] * TILE, slow[c] * TILE
                to = (((tile - first) * n_rows + c) * n_symbols + i) * WORDS * 8
                for j in range(TILE // LANES):
                    set_byte(octets, to + j, above(load(averages, left + j * LANES), load(averages, right + j * LANES)))
