"""Computes positions that open when one indicator is above a level and close when another is above its own."""

from __future__ import annotations

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from rbt_ray.objectives.sweep.bits import TOP
from rbt_ray.objectives.sweep.layout import TILE, WIDTH, WORDS
from rbt_ray.objectives.sweep.simd import above, load, splat
from rbt_ray.simulate.compiled import FLAG, INTEGER, VECTOR, compiled
from rbt_ray.types import FloatArray


@compiled(VECTOR, VECTOR, VECTOR, VECTOR, FLAG, INTEGER, INTEGER, INTEGER, uint64[::1])
def entry_exit_positions(
    entry: FloatArray,
    leaving: FloatArray,
    entry_levels: FloatArray,
    leaving_levels: FloatArray,
    holds: bool,
    n_symbols: int,
    row: int,
    n_rows: int,
    words: NDArray[np.uint64],
) -> None:
    """Writes the positions of configs that share their indicators over the whole history.

    A position is `(enter[t] or position[t-1]) and not leave[t]`. This recurrence is that of the carries in binary
    addition, so one addition covers 64 bars. With `keep` the bars on which a position may be held, and `enter` those of
    them on which one opens, the carries into the bits of `keep + enter` are the positions of the bar before.

    Args:
        entry: the indicator that decides entries, tiled.
        leaving: the one that decides exits, tiled.
        entry_levels: ``(n_configs,)`` a position opens if `entry` is above this.
        leaving_levels: ``(n_configs,)`` it closes if `leaving` is above this.
        holds: whether positions last; otherwise they are held only while `entry` is above its level.
        n_symbols: symbols.
        row: the first config's row in `words`.
        n_rows: rows of `words`.
        words: ``(tiles, n_rows, n_symbols, 2)`` flat: the positions.
    """
    tiles = len(entry) // (n_symbols * TILE)
    n_configs = len(entry_levels)
    carry = np.zeros(n_configs * n_symbols, np.uint64)
    for tile in range(tiles):
        for i in range(n_symbols):
            for c in range(n_configs):
                entry_level, leaving_level = splat(entry_levels[c]), splat(leaving_levels[c])
                for k in range(WORDS):
                    enter, leave = np.uint64(0), np.uint64(0)
                    at = (tile * n_symbols + i) * TILE + k * 64
                    for j in range(64 // WIDTH):
                        place = np.uint64(j * WIDTH)
                        enter |= np.uint64(above(load(entry, at + j * WIDTH), entry_level)) << place
                        leave |= np.uint64(above(load(leaving, at + j * WIDTH), leaving_level)) << place
                    keep = ~leave if holds else enter
                    enter &= keep
                    before = (keep + enter + carry[c * n_symbols + i]) ^ keep ^ enter
                    held = enter | (keep & before)
                    carry[c * n_symbols + i] = held >> TOP
                    words[((tile * n_rows + row + c) * n_symbols + i) * WORDS + k] = held
