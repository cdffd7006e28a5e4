"""Computes returns from positions for eight configs at once, with orders only when a position changes.

The accounting equals `rbt_ray.simulate.on_change` for targets of `1 / n_symbols` or 0, with fees and without
slippage. With such targets, every sell closes a holding and every buy opens one. All buys of a bar have the same value,
so they are filled in the order of the symbols.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numba import float64, uint8
from numpy.typing import NDArray

from rbt_ray.objectives.sweep.bits import FLAGS, WORD_TABLE, turn
from rbt_ray.objectives.sweep.layout import TILE, WIDTH, WORDS
from rbt_ray.objectives.sweep.simd import above, add_where, load, splat, store, subtract_where, where
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
from rbt_ray.simulate.costs import DUST
from rbt_ray.types import FloatArray, IntArray


@functools.cache
def drift(segmented: bool) -> Callable[..., None]:
    """Returns the kernel. The one for several segments is of its own, so that it takes no time from the other.

    Args:
        segmented: whether there are several segments.
    """

    @compiled(
        WORD_TABLE, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER, VECTOR, VECTOR, FLAGS, NUMBER, FLAG, float64[::1],
        uint8[::1], float64[::1], COUNTS, float64[::1], FLAGS, COUNTS, VECTOR, float64[::1],
    )  # fmt: skip
    def run(
        words: NDArray[np.uint64],
        first: int,
        tiles: int,
        n_bars: int,
        n_symbols: int,
        lag: int,
        fill: FloatArray,
        close: FloatArray,
        priced: NDArray[np.uint8],
        cost: float,
        moments: bool,
        book: FloatArray,
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
            fill: ``(n_bars, n_symbols)`` flat: fill prices; on bars without one, the price defined in `rbt_ray.simulate`.
            close: closes, likewise.
            priced: ``(n_bars, n_symbols)`` flat: whether the symbol has a price.
            cost: fee on the traded value, as a fraction.
            book: ``(n_symbols + 2, n_configs)`` flat: units held, cash, and the equity at the last close.
            targets: ``(2, n_configs / 8, n_symbols)`` flat, one bit per config: the current targets, and the targets filled last.
        """
        n_configs = len(state) // (len(STATE) * len(segments))
        filled = n_configs // WIDTH * n_symbols
        bits = np.empty(n_symbols * TILE, np.uint8)
        changed = np.zeros(n_symbols, np.uint8)
        zero, one, share = splat(0.0), splat(1.0), splat(1.0 / n_symbols)
        fee, with_fee, dust = splat(cost), splat(1.0 + cost), splat(DUST)
        for tile in range(first, first + tiles):
            start = tile * TILE
            bars = min(TILE, n_bars - start)
            first_block, first_segment, last_segment = block_at(ends, start), 0, 0
            if segmented:
                first_segment, last_segment = block_at(segments, start), block_at(segments, start + bars - 1)
            for group in range(0, n_configs, WIDTH):
                turn(words, ((tile - first) * n_configs + group) * n_symbols * WORDS, n_symbols, bits)
                own = group // WIDTH * n_symbols
                cash = load(book, n_symbols * n_configs + group)
                worth = load(book, (n_symbols + 1) * n_configs + group)
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
                        orders = np.uint8(0)
                        for i in range(n_symbols):
                            changed[i] = np.uint8(0)
                            if priced[row + i]:
                                now = bits[i * TILE + t]
                                target = targets[own + i] if lag == 1 else now
                                targets[own + i] = now
                                changed[i] = target ^ targets[filled + own + i]
                                targets[filled + own + i] = target
                                orders |= changed[i]
                        if orders:
                            value = cash
                            for i in range(n_symbols):
                                value = value + load(book, i * n_configs + group) * splat(fill[row + i])
                            turned_over = zero
                            for i in range(n_symbols):
                                sold = np.uint8(changed[i] & ~targets[filled + own + i])
                                if sold:
                                    units = load(book, i * n_configs + group)
                                    sold &= above(units, zero)
                                    money = units * splat(fill[row + i])
                                    cash = add_where(sold, cash, money - money * fee)
                                    turned_over = add_where(sold, turned_over, money)
                                    fills, trips = add_where(sold, fills, one), add_where(sold, trips, one)
                                    store(book, i * n_configs + group, where(sold, zero, units))
                            order_value = value * share
                            for i in range(n_symbols):
                                bought = np.uint8(changed[i] & targets[filled + own + i])
                                if bought:
                                    affordable = cash / with_fee
                                    cut = above(order_value, affordable)
                                    bought &= above(affordable, value * dust)
                                    # In the order of `on_change`, to get the same bits: units first, then their cost.
                                    price = splat(fill[row + i])
                                    size = where(cut, affordable, order_value) / price
                                    money = size * price
                                    cash = subtract_where(bought, cash, where(cut, cash, money + money * fee))
                                    turned_over = add_where(bought, turned_over, money)
                                    fills = add_where(bought, fills, one)
                                    units = load(book, i * n_configs + group)
                                    store(book, i * n_configs + group, where(bought, size, units))
                            traded = traded + turned_over / value
                        last, worth, gross = worth, cash, zero
                        for i in range(n_symbols):
                            value = load(book, i * n_configs + group) * splat(close[row + i])
                            worth = worth + value
                            gross = gross + value
                        exposure = exposure + gross / worth
                        store(buffer, t * WIDTH, worth / last - one)
                    store(state, FILLS * WIDTH + column, fills)
                    store(state, TRIPS * WIDTH + column, trips)
                    store(state, TRADED * WIDTH + column, traded)
                    store(state, HELD * WIDTH + column, exposure)
                    advance_part(
                        segmented, moments, wanted, buffer, begin * WIDTH, seen, end - begin, first_block, ends, benchmark,
                        sums, n_configs, group, state, column,
                    )  # fmt: skip
                    begin = end
                store(book, n_symbols * n_configs + group, cash)
                store(book, (n_symbols + 1) * n_configs + group, worth)

    kernel: Callable[..., None] = run
    return kernel
