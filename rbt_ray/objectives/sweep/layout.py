"""How sweep kernels see a bundle: cut into tiles of 128 bars, each symbol's bars side by side, positions as bits.

A table of values is ``(n_tiles, n_symbols, 128)``: what one tile needs lies together and fits the first-level cache.
A table of positions is ``(n_tiles, n_symbols, 2)`` words of 64 bits, the bar `64 * k + j` of a tile being bit `j` of
word `k`. Bars after the last are NaN, or bits of 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rbt_ray.types import BoolArray, Execution, FloatArray

if TYPE_CHECKING:
    from rbt_ray.data.view import BundleView

TILE = 128
"""Bars in a tile."""
WORDS = TILE // 64
"""Words of bits in a tile of one symbol."""
LANES = 8
"""Numbers in a vector register, and so configs whose statistics advance together."""
LEAD = LANES
"""Zeros before the first bar of a running sum, so that eight bars can be read where the first window ends."""


def n_tiles(n_bars: int) -> int:
    """Tiles that hold `n_bars`."""
    return -(-n_bars // TILE)


def aligned(size: int) -> FloatArray:
    """``(size,)`` zeros that begin on a cache line: vectors that straddle two lines load at half the speed."""
    raw = np.zeros(size * 8 + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size * 8].view(np.float64)


def tiled(values: FloatArray) -> FloatArray:
    """``(n_bars, n_symbols)`` values as a flat table of tiles."""
    n_bars, n_symbols = values.shape
    flat = aligned(n_tiles(n_bars) * n_symbols * TILE)
    table = flat.reshape(-1, n_symbols, TILE)
    whole = n_bars // TILE
    table[:whole] = values[: whole * TILE].reshape(whole, TILE, n_symbols).transpose(0, 2, 1)
    if n_bars % TILE:
        table[whole] = np.nan
        table[whole, :, : n_bars % TILE] = values[whole * TILE :].T
    return flat


def as_bits(flags: BoolArray) -> NDArray[np.uint64]:
    """``(n_bars, n_symbols)`` flags as a flat table of words."""
    n_bars, n_symbols = flags.shape
    padded = np.zeros((n_tiles(n_bars) * TILE, n_symbols), bool)
    padded[:n_bars] = flags
    octets = np.packbits(padded.reshape(-1, TILE, n_symbols).transpose(0, 2, 1), axis=-1, bitorder="little")
    return np.ascontiguousarray(octets).view("<u8").astype(np.uint64).ravel()


def closes(view: BundleView) -> NDArray[np.uint64]:
    """Bits of the bars that have a close."""
    return as_bits(~np.isnan(view["close"]))


def legs(view: BundleView, execution: Execution) -> tuple[FloatArray, FloatArray, NDArray[np.uint64]]:
    """What a bar earns on the weight before its fill, on the weight after it, and which bars have prices.

    Module `rbt_ray.simulate.every_bar` has the formulas; a bar without a price earns 0. The second is empty where
    fills are at the close: nothing is earned after them.
    """
    close = view["close"]
    fill = view["open"] if execution == "next_open" else close
    priced = ~np.isnan(fill + close)
    last = np.vstack([np.full((1, close.shape[1]), np.nan), close[:-1]])
    before = tiled(np.where(priced & ~np.isnan(last), fill / last - 1.0, 0.0))
    after = tiled(np.where(priced, close / fill - 1.0, 0.0)) if execution == "next_open" else aligned(0)
    return before, after, as_bits(priced)


def running_sums(view: BundleView) -> tuple[FloatArray, FloatArray]:
    """Running sum of closes, NaN counted as 0, and running number of closes, ``(n_symbols, LEAD + bars)`` flat.

    The bars are those of whole tiles; after the last bar both stay as they are.
    """
    close = view["close"]
    n_bars, n_symbols = close.shape
    there = ~np.isnan(close)
    running = []
    for values in (np.where(there, close, 0.0), there.astype(np.float64)):
        flat = aligned(n_symbols * (LEAD + n_tiles(n_bars) * TILE))
        table = flat.reshape(n_symbols, -1)
        np.cumsum(values.T, axis=1, out=table[:, LEAD : LEAD + n_bars])
        table[:, LEAD + n_bars :] = table[:, LEAD + n_bars - 1 : LEAD + n_bars]
        running.append(flat)
    return running[0], running[1]
