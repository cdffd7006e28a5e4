"""Positions to returns on every bar, tile after tile, for many configs at once, where no symbol has a hole.

The accounting is that of `rbt_ray.simulate.every_bar` for weights that are `1 / n_symbols` or 0. Within a tile the
bars are the lanes while a config's returns are added up symbol by symbol; then eight configs' returns are transposed
and the configs are the lanes, as equity and drawdown go from bar to bar (module `statistics`). With every symbol that
is held priced, all weights after a fill are targets, so that no bar waits for the drift of the bar before.
"""

from __future__ import annotations

import numpy as np
from numba import float64, uint64
from numpy.typing import NDArray

from rbt_ray.objectives.sweep.bits import ALL, ONE, TOP, WORD_TABLE
from rbt_ray.objectives.sweep.layout import LANES, TILE, WORDS
from rbt_ray.objectives.sweep.simd import (
    absolute,
    add_where,
    byte,
    load,
    popcount,
    splat,
    store,
    subtract_where,
    total_of,
    transpose,
    where,
)
from rbt_ray.objectives.sweep.statistics import FILLS, HELD, STATE, TRADED, TRIPS, advance, higher, part
from rbt_ray.simulate.compiled import FLAG, INTEGER, NUMBER, VECTOR, compiled
from rbt_ray.types import FloatArray

MASKS = 2 * WORDS
"""Words of bits a symbol: those held after the fill, those held before it."""


@part  # type: ignore[untyped-decorator]
def _positions(
    words: NDArray[np.uint64],
    at: int,
    priced: NDArray[np.uint64],
    priced_at: int,
    n_symbols: int,
    lag: int,
    bars: int,
    carry: NDArray[np.uint64],
    carry_at: int,
    masks: NDArray[np.uint64],
    masks_at: int,
) -> tuple[int, int, int]:
    """Writes the masks of one config and tile; how many bars hold something, how many positions change and end."""
    n_held, n_changes, n_ended = np.uint64(0), np.uint64(0), np.uint64(0)
    for i in range(n_symbols):
        decided_before = carry[carry_at + i] & ONE
        held_before = carry[carry_at + i] >> ONE
        for k in range(WORDS):
            left = bars - 64 * k
            inside = ALL if left >= 64 else ((ONE << np.uint64(max(left, 0))) - ONE)
            usable = priced[priced_at + i * WORDS + k] & inside
            decided = words[at + i * WORDS + k] & usable
            new = (((decided << ONE) | decided_before) if lag == 1 else decided) & usable
            old = ((new << ONE) | held_before) & inside
            changed = old ^ new
            masks[masks_at + i * MASKS + k] = new
            masks[masks_at + i * MASKS + WORDS + k] = old
            n_held += popcount(new)
            n_changes += popcount(changed)
            n_ended += popcount(changed & old)
            decided_before, held_before = decided >> TOP, new >> TOP
        carry[carry_at + i] = decided_before | (held_before << ONE)
    return int(n_held), int(n_changes), int(n_ended)


@part  # type: ignore[untyped-decorator]
def _returns(
    masks: NDArray[np.uint64],
    before: FloatArray,
    after: FloatArray,
    rise: FloatArray,
    growth: FloatArray,
    at: int,
    n_symbols: int,
    cost: float,
    buffer: FloatArray,
    row: int,
) -> tuple[float, float]:
    """Writes the returns of two configs on the bars of a tile; what each has traded in all.

    Two configs by 16 bars are in registers at a time, so that one load of a leg serves both. With `n` symbols and
    weights of `1 / n`, the turnover is `sum |new * D - old * G| / (n * D)`, where `n * D` is `n` and the sum of
    `G - 1` over what was held.
    """
    octets = masks.view(np.uint8)
    second = n_symbols * MASKS * 8
    zero, count, fee, share = splat(0.0), splat(np.float64(n_symbols)), splat(cost), splat(1.0 / n_symbols)
    one, traded_a, traded_b = splat(1.0), zero, zero
    for k in range(0, TILE // LANES, 2):
        ra0, ra1, rb0, rb1 = zero, zero, zero, zero
        ga0, ga1, gb0, gb1 = zero, zero, zero, zero
        for i in range(n_symbols):
            new = i * MASKS * 8 + k
            old = new + WORDS * 8
            leg = at + i * TILE + k * LANES
            a0, a1 = byte(octets, old), byte(octets, old + 1)
            b0, b1 = byte(octets, second + old), byte(octets, second + old + 1)
            x0, x1 = load(before, leg), load(before, leg + LANES)
            ra0, ra1 = add_where(a0, ra0, x0), add_where(a1, ra1, x1)
            rb0, rb1 = add_where(b0, rb0, x0), add_where(b1, rb1, x1)
            if len(after) > 0:
                x0, x1 = load(rise, leg), load(rise, leg + LANES)
                ga0, ga1 = add_where(a0, ga0, x0), add_where(a1, ga1, x1)
                gb0, gb1 = add_where(b0, gb0, x0), add_where(b1, gb1, x1)
                x0, x1 = load(after, leg), load(after, leg + LANES)
                ra0 = add_where(byte(octets, new), ra0, x0)
                ra1 = add_where(byte(octets, new + 1), ra1, x1)
                rb0 = add_where(byte(octets, second + new), rb0, x0)
                rb1 = add_where(byte(octets, second + new + 1), rb1, x1)
        if len(after) == 0:
            ga0, ga1, gb0, gb1 = ra0, ra1, rb0, rb1
        ga0, ga1, gb0, gb1 = ga0 + count, ga1 + count, gb0 + count, gb1 + count
        da0, da1, db0, db1 = ga0 * share, ga1 * share, gb0 * share, gb1 * share
        ma0, ma1, mb0, mb1 = zero, zero, zero, zero
        for i in range(n_symbols):
            new = i * MASKS * 8 + k
            old = new + WORDS * 8
            leg = at + i * TILE + k * LANES
            x0, x1 = load(growth, leg), load(growth, leg + LANES)
            w = where(byte(octets, new), da0, zero)
            ma0 = ma0 + absolute(subtract_where(byte(octets, old), w, x0))
            w = where(byte(octets, new + 1), da1, zero)
            ma1 = ma1 + absolute(subtract_where(byte(octets, old + 1), w, x1))
            w = where(byte(octets, second + new), db0, zero)
            mb0 = mb0 + absolute(subtract_where(byte(octets, second + old), w, x0))
            w = where(byte(octets, second + new + 1), db1, zero)
            mb1 = mb1 + absolute(subtract_where(byte(octets, second + old + 1), w, x1))
        # One division gives two quotients: it takes as long as ten multiplications.
        ra, rb = one / (ga0 * ga1), one / (gb0 * gb1)
        ma0, ma1, mb0, mb1 = ma0 * (ga1 * ra), ma1 * (ga0 * ra), mb0 * (gb1 * rb), mb1 * (gb0 * rb)
        traded_a, traded_b = traded_a + ma0 + ma1, traded_b + mb0 + mb1
        to = row + k * LANES
        store(buffer, to, ra0 * share - ma0 * fee)
        store(buffer, to + LANES, ra1 * share - ma1 * fee)
        store(buffer, to + TILE, rb0 * share - mb0 * fee)
        store(buffer, to + TILE + LANES, rb1 * share - mb1 * fee)
    return total_of(traded_a), total_of(traded_b)


@compiled(
    WORD_TABLE, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER, VECTOR, VECTOR, VECTOR, VECTOR, WORD_TABLE, NUMBER, FLAG,
    uint64[::1], float64[::1], float64[::1],
)  # fmt: skip
def accumulate(
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
    carry: NDArray[np.uint64],
    state: FloatArray,
    buffer: FloatArray,
) -> None:
    """Brings the state of every config from the beginning of tile `first` to the end of the last of `tiles`.

    Args:
        words: ``(tiles, n_configs, n_symbols, 2)`` flat: positions decided on each bar's close.
        first: the tile these begin with.
        tiles: how many there are.
        n_bars: bars of the whole history.
        n_symbols: symbols.
        lag: bars from decision to fill: 0 or 1.
        before: what a bar earns before its fill, tiled.
        after: what a bar earns after its fill, tiled; empty for nothing.
        rise: `growth - 1`, tiled; empty where it is `before`, with fills at the close.
        growth: fill price over the fill price of the bar before, tiled.
        priced: bits of the bars with a price.
        cost: of a unit of turnover, a fraction.
        moments: whether to keep the third and fourth moments and the downside as well.
        carry: ``(n_configs, n_symbols)`` flat: the last bar's decision in bit 0, the position held in bit 1.
        state: ``(n_statistics, n_configs)`` flat, `n_configs` a multiple of 8; see `statistics.STATE`.
        buffer: ``(2, 8, 128)`` flat: room to work in.
    """
    n_configs = len(state) // len(STATE)
    columns = LANES * TILE
    share = 1.0 / n_symbols
    masks = np.empty(2 * n_symbols * MASKS, np.uint64)
    for tile in range(first, first + tiles):
        start = tile * TILE
        bars = min(TILE, n_bars - start)
        for group in range(0, n_configs, LANES):
            for member in range(0, LANES, 2):
                for one in range(2):
                    config = group + member + one
                    at = ((tile - first) * n_configs + config) * n_symbols * WORDS
                    held, changes, ended = _positions(
                        words, at, priced, tile * n_symbols * WORDS, n_symbols, lag, bars, carry, config * n_symbols,
                        masks, one * n_symbols * MASKS,
                    )  # fmt: skip
                    state[HELD * n_configs + config] += held * share
                    state[FILLS * n_configs + config] += changes
                    state[TRIPS * n_configs + config] += ended
                traded = _returns(
                    masks, before, after, rise, growth, tile * n_symbols * TILE, n_symbols, cost, buffer, member * TILE
                )
                for one in range(2):
                    state[TRADED * n_configs + group + member + one] += traded[one]
            for k in range(0, TILE, LANES):
                block = transpose(
                    (
                        load(buffer, k),
                        load(buffer, TILE + k),
                        load(buffer, 2 * TILE + k),
                        load(buffer, 3 * TILE + k),
                        load(buffer, 4 * TILE + k),
                        load(buffer, 5 * TILE + k),
                        load(buffer, 6 * TILE + k),
                        load(buffer, 7 * TILE + k),
                    )
                )
                at = columns + k * LANES
                store(buffer, at, block[0])
                store(buffer, at + LANES, block[1])
                store(buffer, at + 2 * LANES, block[2])
                store(buffer, at + 3 * LANES, block[3])
                store(buffer, at + 4 * LANES, block[4])
                store(buffer, at + 5 * LANES, block[5])
                store(buffer, at + 6 * LANES, block[6])
                store(buffer, at + 7 * LANES, block[7])
            if moments:
                higher(buffer, columns, start, bars, state, n_configs, group)
            advance(buffer, columns, start, bars, state, n_configs, group)
