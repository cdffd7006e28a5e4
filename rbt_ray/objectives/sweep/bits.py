"""Positions as bits: the types of their tables, and their transposition to one byte per bar for eight configs."""

from __future__ import annotations

import numba
import numpy as np
from numba import uint8, uint64
from numpy.typing import NDArray

from rbt_ray.objectives.sweep.layout import TILE, WIDTH, WORDS
from rbt_ray.objectives.sweep.statistics import inlined

WORD_TABLE = numba.types.Array(uint64, 1, "C", readonly=True)
FLAGS = numba.types.Array(uint8, 1, "C", readonly=True)
ONE, TOP, ALL = np.uint64(1), np.uint64(63), np.uint64(2**64 - 1)

_ODD, _PAIRS, _NIBBLES = (np.uint64(mask) for mask in (0x00AA00AA00AA00AA, 0x0000CCCC0000CCCC, 0x00000000F0F0F0F0))
_7, _8, _14, _28 = (np.uint64(step) for step in (7, 8, 14, 28))


@inlined  # type: ignore[untyped-decorator]
def turn(words: NDArray[np.uint64], at: int, n_symbols: int, bars: NDArray[np.uint8]) -> None:
    """Writes bit `c` of ``bars[i * 128 + j]``: the position of config `c` in symbol `i` on bar `j` of a tile.

    Args:
        words: positions; those of the eight configs are ``(8, n_symbols, 2)`` words from `at` on.
        at: index of their first word.
        n_symbols: symbols.
        bars: ``(n_symbols, 128)`` flat: the output.

    Source:
        Warren (2013), "Hacker's Delight", section 7-3: transposing an 8 by 8 matrix of bits.
    """
    octets = words.view(np.uint8)
    for i in range(n_symbols):
        for k in range(TILE // 8):
            block = np.uint64(0)
            for config in range(WIDTH):
                place = (at + (config * n_symbols + i) * WORDS) * 8 + k
                block |= np.uint64(octets[place]) << (np.uint64(config) * _8)
            swap = (block ^ (block >> _7)) & _ODD
            block ^= swap ^ (swap << _7)
            swap = (block ^ (block >> _14)) & _PAIRS
            block ^= swap ^ (swap << _14)
            swap = (block ^ (block >> _28)) & _NIBBLES
            block ^= swap ^ (swap << _28)
            for j in range(8):
                bars[i * TILE + k * 8 + j] = np.uint8(block >> (np.uint64(j) * _8))
