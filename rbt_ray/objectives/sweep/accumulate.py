"""Computes returns from positions for many configs at once, with weights reset on every bar and no missing bars.

The accounting equals `rbt_ray.simulate.every_bar` for weights of `1 / n_symbols` or 0. Within a tile, vectors hold
eight bars of one config while its returns are summed over symbols. A transposition then gives vectors of eight configs,
which module `statistics` takes from bar to bar. Since every held symbol has a price, the weights after a fill are the
targets, so no bar depends on the drift of the bar before.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import float64, uint64
from numpy.typing import NDArray

from rbt_ray.objectives.sweep.bits import FLAGS, WORD_TABLE
from rbt_ray.objectives.sweep.layout import TILE, WIDTH, WORDS
from rbt_ray.objectives.sweep.masks import MASKS, below, counts, n_masks, positions
from rbt_ray.objectives.sweep.simd import (
    absolute,
    add_where,
    byte,
    load,
    splat,
    store,
    subtract_where,
    total_of,
    transpose,
    where,
)
from rbt_ray.objectives.sweep.statistics import (
    FILLS,
    HELD,
    STATE,
    TRADED,
    TRIPS,
    advance_part,
    bars_before,
    begin_part,
    block_at,
    column_of,
    inlined,
)
from rbt_ray.simulate.compiled import COUNTS, FLAG, INTEGER, NUMBER, VECTOR, compiled
from rbt_ray.types import FloatArray, IntArray

TOGETHER = 4
"""Configs whose returns are summed at a time."""
TURNOVER = 2 * WIDTH * TILE
"""Where the turnover of each config and bar is in the buffer, if there are several segments."""


@inlined  # type: ignore[untyped-decorator]
def _total(buffer: FloatArray, row: int, begin: int, end: int) -> float:
    """Returns the sum of the numbers `begin` to `end` of a row."""
    total = splat(0.0)
    for k in range(begin // WIDTH * WIDTH, end, WIDTH):
        inside = below(end - k) & ~below(begin - k)
        total = add_where(np.uint8(inside & np.uint64(255)), total, load(buffer, row + k))
    found: float = total_of(total)
    return found


@inlined  # type: ignore[untyped-decorator]
def _add_held(octets: Any, at: int, x0: Any, x1: Any, total0: Any, total1: Any) -> tuple[Any, Any]:
    """Adds the returns of those of 16 bars whose bits are set at `at`."""
    return add_where(byte(octets, at), total0, x0), add_where(byte(octets, at + 1), total1, x1)


@inlined  # type: ignore[untyped-decorator]
def _add_traded(
    octets: Any, new: int, old: int, d0: Any, d1: Any, x0: Any, x1: Any, total0: Any, total1: Any
) -> tuple[Any, Any]:
    """Adds `|new * D - old * G|` of 16 bars."""
    zero = splat(0.0)
    first = subtract_where(byte(octets, old), where(byte(octets, new), d0, zero), x0)
    second = subtract_where(byte(octets, old + 1), where(byte(octets, new + 1), d1, zero), x1)
    return total0 + absolute(first), total1 + absolute(second)


@inlined  # type: ignore[untyped-decorator]
def _finish(
    r0: Any, r1: Any, g0: Any, g1: Any, m0: Any, m1: Any, n_symbols: int, cost: float, segmented: bool,
    apart: bool, buffer: FloatArray, to: int,
) -> tuple[Any, Any]:  # fmt: skip
    """Writes the returns of 16 bars, and returns their turnover, which it also writes if there are several segments."""
    share, fee = splat(1.0 / n_symbols), splat(cost)
    if apart:
        m0, m1 = m0 / g0, m1 / g1
    else:
        # One division gives two quotients: it takes as long as ten multiplications.
        inverse = splat(1.0) / (g0 * g1)
        m0, m1 = m0 * (g1 * inverse), m1 * (g0 * inverse)
    store(buffer, to, r0 * share - m0 * fee)
    store(buffer, to + WIDTH, r1 * share - m1 * fee)
    if segmented:
        store(buffer, TURNOVER + to, m0)
        store(buffer, TURNOVER + to + WIDTH, m1)
    return m0, m1


@inlined  # type: ignore[untyped-decorator]
def _returns(
    masks: NDArray[np.uint64],
    masks_at: int,
    before: FloatArray,
    after: FloatArray,
    rise: FloatArray,
    growth: FloatArray,
    at: int,
    bars: int,
    n_symbols: int,
    cost: float,
    segmented: bool,
    inner_ends: int,
    buffer: FloatArray,
    row: int,
) -> tuple[float, float, float, float]:
    """Writes the returns of four configs on the bars of a tile, and returns the turnover of each.

    Four configs by 16 bars are in registers at a time, so that each value is loaded once for four configs: the returns of
    many symbols do not fit into the first-level cache. Bars on which no config holds anything are skipped: their returns
    are 0. With `n` symbols and weights of `1 / n`, the turnover is `sum |new * D - old * G| / (n * D)`, where `n * D` is
    `n` plus the sum of `G - 1` over the held symbols.

    Bit `k` of `inner_ends` is set if a segment ends within the 16 bars from `16 * k` on: no bit of a segment's returns may depend
    on later prices.
    """
    octets = masks[masks_at:].view(np.uint8)
    b, c, d = n_masks(n_symbols) * 8, 2 * n_masks(n_symbols) * 8, 3 * n_masks(n_symbols) * 8
    zero, count, share = splat(0.0), splat(np.float64(n_symbols)), splat(1.0 / n_symbols)
    traded_a, traded_b, traded_c, traded_d = zero, zero, zero, zero
    for k in range(0, (bars + WIDTH - 1) // WIDTH, 2):
        to = row + k * WIDTH
        apart = segmented and (inner_ends >> (k // 2)) & 1 == 1
        any_held = np.uint8(0)
        for config in range(TOGETHER):
            held = config * b + n_symbols * MASKS * 8 + k
            any_held |= byte(octets, held) | byte(octets, held + 1)
        if any_held == 0:
            for config in range(TOGETHER):
                store(buffer, to + config * TILE, zero)
                store(buffer, to + config * TILE + WIDTH, zero)
                if segmented:
                    store(buffer, TURNOVER + to + config * TILE, zero)
                    store(buffer, TURNOVER + to + config * TILE + WIDTH, zero)
            continue
        ra0, ra1, rb0, rb1, rc0, rc1, rd0, rd1 = zero, zero, zero, zero, zero, zero, zero, zero
        ga0, ga1, gb0, gb1, gc0, gc1, gd0, gd1 = zero, zero, zero, zero, zero, zero, zero, zero
        for i in range(n_symbols):
            new = i * MASKS * 8 + k
            old = new + WORDS * 8
            leg = at + i * TILE + k * WIDTH
            x0, x1 = load(before, leg), load(before, leg + WIDTH)
            ra0, ra1 = _add_held(octets, old, x0, x1, ra0, ra1)
            rb0, rb1 = _add_held(octets, b + old, x0, x1, rb0, rb1)
            rc0, rc1 = _add_held(octets, c + old, x0, x1, rc0, rc1)
            rd0, rd1 = _add_held(octets, d + old, x0, x1, rd0, rd1)
            if len(after) > 0:
                x0, x1 = load(rise, leg), load(rise, leg + WIDTH)
                ga0, ga1 = _add_held(octets, old, x0, x1, ga0, ga1)
                gb0, gb1 = _add_held(octets, b + old, x0, x1, gb0, gb1)
                gc0, gc1 = _add_held(octets, c + old, x0, x1, gc0, gc1)
                gd0, gd1 = _add_held(octets, d + old, x0, x1, gd0, gd1)
                x0, x1 = load(after, leg), load(after, leg + WIDTH)
                ra0, ra1 = _add_held(octets, new, x0, x1, ra0, ra1)
                rb0, rb1 = _add_held(octets, b + new, x0, x1, rb0, rb1)
                rc0, rc1 = _add_held(octets, c + new, x0, x1, rc0, rc1)
                rd0, rd1 = _add_held(octets, d + new, x0, x1, rd0, rd1)
        if len(after) == 0:
            ga0, ga1, gb0, gb1, gc0, gc1, gd0, gd1 = ra0, ra1, rb0, rb1, rc0, rc1, rd0, rd1
        ga0, ga1, gb0, gb1 = ga0 + count, ga1 + count, gb0 + count, gb1 + count
        gc0, gc1, gd0, gd1 = gc0 + count, gc1 + count, gd0 + count, gd1 + count
        da0, da1, db0, db1 = ga0 * share, ga1 * share, gb0 * share, gb1 * share
        dc0, dc1, dd0, dd1 = gc0 * share, gc1 * share, gd0 * share, gd1 * share
        ma0, ma1, mb0, mb1, mc0, mc1, md0, md1 = zero, zero, zero, zero, zero, zero, zero, zero
        for i in range(n_symbols):
            new = i * MASKS * 8 + k
            old = new + WORDS * 8
            leg = at + i * TILE + k * WIDTH
            x0, x1 = load(growth, leg), load(growth, leg + WIDTH)
            ma0, ma1 = _add_traded(octets, new, old, da0, da1, x0, x1, ma0, ma1)
            mb0, mb1 = _add_traded(octets, b + new, b + old, db0, db1, x0, x1, mb0, mb1)
            mc0, mc1 = _add_traded(octets, c + new, c + old, dc0, dc1, x0, x1, mc0, mc1)
            md0, md1 = _add_traded(octets, d + new, d + old, dd0, dd1, x0, x1, md0, md1)
        m0, m1 = _finish(ra0, ra1, ga0, ga1, ma0, ma1, n_symbols, cost, segmented, apart, buffer, to)
        traded_a = traded_a + m0 + m1
        m0, m1 = _finish(rb0, rb1, gb0, gb1, mb0, mb1, n_symbols, cost, segmented, apart, buffer, to + TILE)
        traded_b = traded_b + m0 + m1
        m0, m1 = _finish(rc0, rc1, gc0, gc1, mc0, mc1, n_symbols, cost, segmented, apart, buffer, to + 2 * TILE)
        traded_c = traded_c + m0 + m1
        m0, m1 = _finish(rd0, rd1, gd0, gd1, md0, md1, n_symbols, cost, segmented, apart, buffer, to + 3 * TILE)
        traded_d = traded_d + m0 + m1
    return total_of(traded_a), total_of(traded_b), total_of(traded_c), total_of(traded_d)


@functools.cache
def accumulate(segmented: bool) -> Callable[..., None]:
    """Returns the kernel. The one for several segments is of its own, so that it takes no time from the other.

    Args:
        segmented: whether there are several segments.
    """

    @compiled(
        WORD_TABLE, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER, VECTOR, VECTOR, VECTOR, VECTOR, WORD_TABLE, NUMBER, FLAG,
        FLAG, FLAG, uint64[::1], float64[::1], COUNTS, float64[::1], FLAGS, COUNTS, VECTOR, float64[::1],
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
        rise: FloatArray,
        growth: FloatArray,
        priced: NDArray[np.uint64],
        cost: float,
        moments: bool,
        count: bool,
        turnover: bool,
        carry: NDArray[np.uint64],
        state: FloatArray,
        segments: IntArray,
        buffer: FloatArray,
        wanted: NDArray[np.uint8],
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
            before: returns of each bar before its fill, tiled.
            after: returns of each bar after its fill, tiled; empty if they are all 0.
            rise: `growth - 1`, tiled; empty for fills at the close, where it equals `before`.
            growth: ratio of the fill price to that of the bar before, tiled.
            priced: bits of the bars with a price.
            cost: cost per unit of turnover, as a fraction.
            moments: whether to update the third and fourth moments and the downside.
            count: whether to count the positions of several segments; those of one are counted in any case.
            turnover: whether to sum the turnover of several segments, likewise.
            carry: ``(n_configs, n_symbols)`` flat: the last bar's decision in bit 0, the position held in bit 1.
            state: see `statistics.STATE`; `n_configs` is a multiple of 8. Each segment has the statistics of its bars alone;
                positions carry over.
            segments: ``(n_segments,)`` the bar after the last one of each segment, increasing; the last is `n_bars`.
            buffer: ``(3, 8, 128)`` flat: scratch memory.
            wanted: of a `blocks.BlockTable`, as the next three: whether block sums of any of eight configs are wanted.
            ends: the bar after the last one of each block.
            benchmark: returns of the benchmark.
            sums: the block sums.
        """
        n_configs = len(state) // (len(STATE) * len(segments))
        columns = WIDTH * TILE
        share = 1.0 / n_symbols
        size = n_masks(n_symbols)
        masks = np.empty((WIDTH if segmented else TOGETHER) * size, np.uint64)
        for tile in range(first, first + tiles):
            start = tile * TILE
            bars = min(TILE, n_bars - start)
            first_block, first_segment, last_segment, inner_ends = block_at(ends, start), 0, 0, 0
            if segmented:
                first_segment, last_segment = block_at(segments, start), block_at(segments, start + bars - 1)
                for segment in range(first_segment, last_segment):
                    end = segments[segment] - start
                    if end % (2 * WIDTH):
                        inner_ends |= 1 << (end // (2 * WIDTH))
            in_one = first_segment == last_segment
            for group in range(0, n_configs, WIDTH):
                if segmented:
                    for segment in range(first_segment, last_segment + 1):
                        bar = start if segment == first_segment else segments[segment - 1]
                        begin_part(segments, segment, bar, state, column_of(group, segment, len(segments)))
                column = column_of(group, first_segment, len(segments))
                for member in range(0, WIDTH, TOGETHER):
                    masks_at = member * size if segmented else 0
                    for one in range(TOGETHER):
                        config = group + member + one
                        at = ((tile - first) * n_configs + config) * n_symbols * WORDS
                        held, changes, ended = positions(
                            words, at, priced, tile * n_symbols * WORDS, n_symbols, lag, bars, carry, config * n_symbols,
                            masks, masks_at + one * size,
                        )  # fmt: skip
                        if in_one:
                            state[HELD * WIDTH + column + member + one] += held * share
                            state[FILLS * WIDTH + column + member + one] += changes
                            state[TRIPS * WIDTH + column + member + one] += ended
                    traded = _returns(
                        masks, masks_at, before, after, rise, growth, tile * n_symbols * TILE, bars, n_symbols, cost,
                        segmented, inner_ends, buffer, member * TILE,
                    )  # fmt: skip
                    if in_one:
                        for one in range(TOGETHER):
                            state[TRADED * WIDTH + column + member + one] += traded[one]
                for k in range(0, bars, WIDTH):
                    transpose(buffer, k, TILE, columns + k * WIDTH)
                begin = 0
                for segment in range(first_segment, last_segment + 1):
                    end = min(bars, segments[segment] - start) if segmented else bars
                    column = column_of(group, segment, len(segments))
                    seen = bars_before(segments, segment, start + begin) if segmented else start
                    if count and not in_one:
                        for one in range(WIDTH):
                            held, changes, ended = counts(masks, one * size, n_symbols, begin, end)
                            state[HELD * WIDTH + column + one] += held * share
                            state[FILLS * WIDTH + column + one] += changes
                            state[TRIPS * WIDTH + column + one] += ended
                    if turnover and not in_one:
                        for one in range(WIDTH):
                            state[TRADED * WIDTH + column + one] += _total(buffer, TURNOVER + one * TILE, begin, end)
                    advance_part(
                        segmented, moments, wanted, buffer, columns + begin * WIDTH, seen, end - begin, first_block, ends, benchmark,
                        sums, n_configs, group, state, column,
                    )  # fmt: skip
                    begin = end

    kernel: Callable[..., None] = run
    return kernel
