"""The memory layout of sweep kernels: tiles of 128 bars, the bars of each symbol contiguous, positions as bits.

A table of values is ``(n_tiles, n_symbols, 128)``: the data of one tile is contiguous and fits the first-level cache.
A table of positions is ``(n_tiles, n_symbols, 2)`` words of 64 bits, the bar `64 * k + j` of a tile being bit `j` of
word `k`. Bars after the last are NaN, or bits of 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rbt_ray.simulate.closings import closings
from rbt_ray.types import BoolArray, Execution, FloatArray, IntArray

if TYPE_CHECKING:
    from rbt_ray.data.view import BundleView

TILE = 128
"""Bars in a tile."""
WORDS = TILE // 64
"""Words of bits in a tile of one symbol."""
WIDTH = 8
"""Numbers in a vector, and so the number of configs whose statistics are updated together."""
LEAD = WIDTH
"""Zeros before the first bar of a running sum, so that a read of eight bars at the end of the first window is in bounds."""


def n_tiles(n_bars: int) -> int:
    """Returns the number of tiles that hold `n_bars`."""
    return -(-n_bars // TILE)


def aligned(size: int) -> FloatArray:
    """Returns ``(size,)`` zeros aligned to a cache line: vectors that cross two lines load at half the speed."""
    raw = np.zeros(size * 8 + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size * 8].view(np.float64)


def tiled(values: FloatArray) -> FloatArray:
    """Returns ``(n_bars, n_symbols)`` values as a flat table of tiles."""
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
    """Returns ``(n_bars, n_symbols)`` flags as a flat table of words."""
    n_bars, n_symbols = flags.shape
    padded = np.zeros((n_tiles(n_bars) * TILE, n_symbols), bool)
    padded[:n_bars] = flags
    octets = np.packbits(padded.reshape(-1, TILE, n_symbols).transpose(0, 2, 1), axis=-1, bitorder="little")
    return np.ascontiguousarray(octets).view("<u8").astype(np.uint64).ravel()


def return_tables(
    view: BundleView, execution: Execution
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, NDArray[np.uint64]]:
    """Returns of each bar before and after its fill, returns from fill to fill, growth, and the bars with prices.

    Module `rbt_ray.simulate.every_bar` has the formulas. For fills at the close, the second and third are empty: nothing is
    earned after the fill, and the third equals the first.
    """
    close = view["close"]
    fill = view["open"] if execution == "next_open" else close
    last_close, last_fill = (np.vstack([values[:1], values[:-1]]) for values in (close, fill))
    growth, empty = fill / last_fill, aligned(0)
    before, priced = tiled(fill / last_close - 1.0), as_bits(_priced(view, execution))
    if execution != "next_open":
        return before, empty, empty, tiled(growth), priced
    return before, tiled(close / fill - 1.0), tiled(growth - 1.0), tiled(growth), priced


def has_holes(view: BundleView, execution: Execution) -> bool:
    """Returns whether any symbol lacks a price on a bar after its first, so that a holding may be carried."""
    priced = _priced(view, execution)
    return bool((np.logical_or.accumulate(priced, axis=0) & ~priced).any())


def listing_ends(view: BundleView, execution: Execution) -> IntArray:
    """Returns the close-outs at the ends of listings, ``(n_ends, 3)``: symbol, bar, and the bar whose target is set to 0.

    See `rbt_ray.simulate.closings`.
    """
    fill = view["open"] if execution == "next_open" else view["close"]
    found = closings(view, fill, view["close"], 0 if execution == "close" else 1)
    return np.column_stack([found.columns, found.bars, found.decided])


def price_tables(view: BundleView, execution: Execution) -> tuple[FloatArray, FloatArray, NDArray[np.uint8]]:
    """Returns fill prices, closes and whether there is a price, each ``(n_bars, n_symbols)`` flat.

    Bars without a price have the price that package `rbt_ray.simulate` defines, and 1 before the symbol's first, when
    nothing is held. The bar of a close-out has a price, the last close.
    """
    priced = _priced(view, execution)
    there = ~np.isnan(view["close"])
    bars = np.maximum.accumulate(np.where(there, np.arange(view.n_bars)[:, None], 0), axis=0)
    close = np.nan_to_num(np.take_along_axis(view["close"], bars, axis=0), nan=1.0)
    fill = np.where(priced, view["open"], close) if execution == "next_open" else close
    for symbol, bar, _ in view.memo(listing_ends, execution):
        priced[bar, symbol] = True
    return fill.ravel(), close.ravel(), priced.astype(np.uint8).ravel()


def return_steps(
    view: BundleView, execution: Execution
) -> tuple[FloatArray, FloatArray, FloatArray, NDArray[np.uint8]]:
    """Returns of each bar before and after its fill, growth from fill to fill, and whether there is a price.

    Each ``(n_bars, n_symbols)`` flat, on the prices of `price_tables`.
    """
    fill, close, priced = price_tables(view, execution)
    last_close, last_fill = (
        np.concatenate([values[: view.n_symbols], values[: -view.n_symbols]]) for values in (close, fill)
    )
    return fill / last_close - 1.0, close / fill - 1.0, fill / last_fill, priced


def _priced(view: BundleView, execution: Execution) -> BoolArray:
    """Returns which bars have a price, ``(n_bars, n_symbols)``."""
    priced: BoolArray = ~np.isnan(view["close"])
    return priced & ~np.isnan(view["open"]) if execution == "next_open" else priced


def running_sums(view: BundleView) -> tuple[FloatArray, FloatArray, IntArray, NDArray[np.uint64]]:
    """Returns running sums over the closes of each symbol, and the positions of tiles in them.

    Returns:
        Running sum and running count of closes, ``(n_symbols, LEAD + bars of whole tiles)`` flat. If any symbol has
        missing bars, they cover the closes of each symbol without gaps. After the last close both are constant.
        The index of the first close of each tile, ``(n_tiles, n_symbols)`` flat.
        Bits of the bars with a close; empty without missing bars.
    """
    close = view["close"]
    n_bars, n_symbols = close.shape
    there = ~np.isnan(close)
    tiles = n_tiles(n_bars)
    starts = np.repeat(np.arange(tiles, dtype=np.int64) * TILE, n_symbols)
    bits = np.zeros(0, np.uint64)
    if has_holes(view, "close"):
        counts = np.vstack([np.zeros((1, n_symbols), np.int64), np.cumsum(there, axis=0, dtype=np.int64)])
        starts = np.ascontiguousarray(counts[:-1:TILE]).ravel()
        bits = as_bits(there)
        own_bars_first = np.argsort(~there, axis=0, kind="stable")
        close, there = (np.take_along_axis(values, own_bars_first, axis=0) for values in (close, there))
    running = []
    for values in (np.where(there, close, 0.0), there.astype(np.float64)):
        # One more tile after the last, since the closes of a tile may start at any index.
        flat = aligned(n_symbols * (LEAD + (tiles + 1) * TILE))
        table = flat.reshape(n_symbols, -1)
        np.cumsum(values.T, axis=1, out=table[:, LEAD : LEAD + n_bars])
        table[:, LEAD + n_bars :] = table[:, LEAD + n_bars - 1 : LEAD + n_bars]
        running.append(flat)
    return running[0], running[1], starts, bits
