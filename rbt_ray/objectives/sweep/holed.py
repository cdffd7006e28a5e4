"""Computes returns from positions for eight configs at once, with weights reset on every bar and missing bars.

The accounting is that of `rbt_ray.simulate.every_bar` for weights of `1 / n_symbols` or 0. A holding drifts while its
symbol has no price, so its weight depends on the bar before. Bars are therefore processed in order, unlike in module
`accumulate`.
"""

from __future__ import annotations

import numpy as np
from numba import float64, uint8
from numpy.typing import NDArray

from rbt_ray.objectives.sweep.bits import FLAGS, WORD_TABLE, turn
from rbt_ray.objectives.sweep.layout import TILE, WIDTH, WORDS
from rbt_ray.objectives.sweep.simd import above, absolute, add_where, load, splat, store, where
from rbt_ray.objectives.sweep.statistics import (
    FILLS,
    HELD,
    STATE,
    TRADED,
    TRIPS,
    advance,
    advance_moments,
    advance_with_blocks,
    block_at,
)
from rbt_ray.simulate.compiled import COUNTS, FLAG, INTEGER, NUMBER, VECTOR, compiled
from rbt_ray.types import FloatArray, IntArray


@compiled(
    WORD_TABLE, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER, VECTOR, VECTOR, VECTOR, FLAGS, NUMBER, FLAG, float64[::1],
    uint8[::1], float64[::1], float64[::1], COUNTS, VECTOR, float64[::1],
)  # fmt: skip
def reset_over_holes(
    words: NDArray[np.uint64],
    first: int,
    tiles: int,
    n_bars: int,
    n_symbols: int,
    lag: int,
    before: FloatArray,
    after: FloatArray,
    growth: FloatArray,
    priced: NDArray[np.uint8],
    cost: float,
    moments: bool,
    weights: FloatArray,
    targets: NDArray[np.uint8],
    state: FloatArray,
    buffer: FloatArray,
    ends: IntArray,
    benchmark: FloatArray,
    sums: FloatArray,
) -> None:
    """Advances the state of every config from the start of tile `first` over `tiles` tiles.

    Args:
        words: ``(tiles, n_configs, n_symbols, 2)`` flat: positions decided on each bar's close.
        first: the first tile of `words`.
        tiles: number of tiles.
        n_bars: bars of the whole history.
        n_symbols: symbols.
        lag: bars from decision to fill: 0 or 1.
        before: ``(n_bars, n_symbols)`` flat: returns of each bar before its fill.
        after: returns of each bar after its fill.
        growth: ratio of the fill price to that of the bar before.
        priced: whether the symbol has a price.
        cost: cost per unit of turnover, as a fraction.
        moments: whether to update the third and fourth moments and the downside.
        weights: ``(n_symbols, n_configs)`` flat: the weights since the last fill.
        targets: ``(2, n_configs / 8, n_symbols)`` flat, one bit per config: the current targets, and the targets filled last.
        state: ``(n_statistics, n_configs)`` flat, `n_configs` a multiple of 8; see `statistics.STATE`.
        buffer: ``(2, 8, 128)`` flat: scratch memory.
        ends: of a `blocks.BlockTable`, as the next two; empty if no block sums are wanted.
        benchmark: returns of the benchmark.
        sums: the block sums.
    """
    n_configs = len(state) // len(STATE)
    filled = n_configs // WIDTH * n_symbols
    bits = np.empty(n_symbols * TILE, np.uint8)
    zero, one, share, fee = splat(0.0), splat(1.0), splat(1.0 / n_symbols), splat(cost)
    ruin = splat(-2.0)
    for tile in range(first, first + tiles):
        start = tile * TILE
        bars = min(TILE, n_bars - start)
        first_block = block_at(ends, start)
        for group in range(0, n_configs, WIDTH):
            turn(words, ((tile - first) * n_configs + group) * n_symbols * WORDS, n_symbols, bits)
            own = group // WIDTH * n_symbols
            fills, trips = load(state, FILLS * n_configs + group), load(state, TRIPS * n_configs + group)
            traded, exposure = load(state, TRADED * n_configs + group), load(state, HELD * n_configs + group)
            for t in range(bars):
                row = (start + t) * n_symbols
                gain, drifted = zero, one
                for i in range(n_symbols):
                    weight = load(weights, i * n_configs + group)
                    gain = gain + weight * splat(before[row + i])
                    drifted = drifted + weight * splat(growth[row + i] - 1.0)
                moved, gross = zero, zero
                for i in range(n_symbols):
                    weight = load(weights, i * n_configs + group) * splat(growth[row + i]) / drifted
                    if priced[row + i]:
                        now = bits[i * TILE + t]
                        target = targets[own + i] if lag == 1 else now
                        targets[own + i] = now
                        changed = target ^ targets[filled + own + i]
                        targets[filled + own + i] = target
                        fills = add_where(changed, fills, one)
                        trips = add_where(np.uint8(changed & ~target), trips, one)
                        wanted = where(target, share, zero)
                        moved = moved + absolute(wanted - weight)
                        weight = wanted
                    gain = gain + weight * splat(after[row + i])
                    gross = gross + weight
                    store(weights, i * n_configs + group, weight)
                traded = traded + moved
                exposure = exposure + gross
                # A carried holding can be worth more than the equity. Without equity the run ends, which module `run` handles.
                store(buffer, t * WIDTH, where(above(drifted, zero), gain - moved * fee, ruin))
            store(state, FILLS * n_configs + group, fills)
            store(state, TRIPS * n_configs + group, trips)
            store(state, TRADED * n_configs + group, traded)
            store(state, HELD * n_configs + group, exposure)
            if moments:
                advance_moments(buffer, 0, start, bars, state, n_configs, group)
            if len(sums) > 0:
                advance_with_blocks(buffer, 0, start, bars, first_block, ends, benchmark, sums, state, n_configs, group)
            else:
                advance(buffer, 0, start, bars, state, n_configs, group)
