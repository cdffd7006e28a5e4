"""Computes returns from positions for eight configs at once, with weights reset on every bar and missing bars.

The accounting equals `rbt_ray.simulate.every_bar` for weights of `1 / n_symbols` or 0. A holding drifts while its
symbol has no price, so its weight depends on the bar before. Bars are therefore processed in order, unlike in module
`accumulate`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

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
    advance_part,
    begin_part,
    block_at,
    column_of,
)
from rbt_ray.simulate.compiled import COUNTS, FLAG, INTEGER, NUMBER, VECTOR, compiled
from rbt_ray.types import FloatArray, IntArray


@functools.cache
def reset_over_holes(segmented: bool) -> Callable[..., None]:
    """Returns the kernel. The one for several segments is of its own, so that it takes no time from the other.

    Args:
        segmented: whether there are several segments.
    """

    @compiled(
        WORD_TABLE, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER, VECTOR, VECTOR, VECTOR, FLAGS, NUMBER, FLAG, float64[::1],
        uint8[::1], float64[::1], COUNTS, float64[::1], FLAGS, COUNTS, VECTOR, float64[::1],
    )  # fmt: skip
    def run(
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
        segments: IntArray,
        buffer: FloatArray,
        wanted: NDArray[np.uint8],
        ends: IntArray,
        benchmark: FloatArray,
        sums: FloatArray,
    ) -> None:
        """Advances the state of every config from the start of tile `first` over `tiles` tiles.

        The arguments are those of `accumulate`, except these:
            before: ``(n_bars, n_symbols)`` flat: returns of each bar before its fill.
            after: returns of each bar after its fill.
            growth: ratio of the fill price to that of the bar before.
            priced: whether the symbol has a price.
            weights: ``(n_symbols, n_configs)`` flat: the weights since the last fill.
            targets: ``(2, n_configs / 8, n_symbols)`` flat, one bit per config: the current targets, and the targets filled last.
        """
        n_configs = len(state) // (len(STATE) * len(segments))
        filled = n_configs // WIDTH * n_symbols
        bits = np.empty(n_symbols * TILE, np.uint8)
        zero, one, share, fee = splat(0.0), splat(1.0), splat(1.0 / n_symbols), splat(cost)
        ruin = splat(-2.0)
        for tile in range(first, first + tiles):
            start = tile * TILE
            bars = min(TILE, n_bars - start)
            first_block, first_segment, last_segment = block_at(ends, start), 0, 0
            if segmented:
                first_segment, last_segment = block_at(segments, start), block_at(segments, start + bars - 1)
            for group in range(0, n_configs, WIDTH):
                turn(words, ((tile - first) * n_configs + group) * n_symbols * WORDS, n_symbols, bits)
                own = group // WIDTH * n_symbols
                begin = 0
                for segment in range(first_segment, last_segment + 1):
                    end = min(bars, segments[segment] - start) if segmented else bars
                    column = column_of(group, segment, len(segments))
                    seen = start
                    if segmented:
                        seen = begin_part(segments, segment, start + begin, state, column)
                    fills, trips = load(state, FILLS * WIDTH + column), load(state, TRIPS * WIDTH + column)
                    traded, exposure = load(state, TRADED * WIDTH + column), load(state, HELD * WIDTH + column)
                    for t in range(begin, end):
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
                                new_weight = where(target, share, zero)
                                moved = moved + absolute(new_weight - weight)
                                weight = new_weight
                            gain = gain + weight * splat(after[row + i])
                            gross = gross + weight
                            store(weights, i * n_configs + group, weight)
                        traded = traded + moved
                        exposure = exposure + gross
                        # A carried holding can be worth more than the equity. Without equity the run ends, which module `run` handles.
                        store(buffer, t * WIDTH, where(above(drifted, zero), gain - moved * fee, ruin))
                    store(state, FILLS * WIDTH + column, fills)
                    store(state, TRIPS * WIDTH + column, trips)
                    store(state, TRADED * WIDTH + column, traded)
                    store(state, HELD * WIDTH + column, exposure)
                    advance_part(
                        segmented, moments, wanted, buffer, begin * WIDTH, seen, end - begin, first_block, ends, benchmark,
                        sums, n_configs, group, state, column,
                    )  # fmt: skip
                    begin = end

    kernel: Callable[..., None] = run
    return kernel
