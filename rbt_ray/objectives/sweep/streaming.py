"""Positions to statistics of returns, tile after tile, for many configs at once.

The accounting is that of `rbt_ray.simulate.every_bar` for weights that are `1 / n_symbols` or 0. Within a tile the
bars are the lanes while a config's returns are added up symbol by symbol; then eight configs' returns are transposed
and the configs are the lanes, as equity and drawdown go from bar to bar.

Drawdown needs no division: equity over its peak so far is `q[t] = min(1, q[t-1] * (1 + r[t]))`, and the deepest
drawdown is `min q - 1`. Moments are summed about the mean of the bars before the tile, made central to the tile's own
mean and joined to those of the earlier tiles, which loses no digits where the mean is large against the deviation.
The order of all this depends on the bars alone: a config's figures are the same bit for bit in any batch.

Source:
    Pébay (2008), "Formulas for Robust, One-Pass Parallel Computation of Covariances and Arbitrary-Order Statistical
    Moments", Sandia report SAND2008-6212, equations 2.1, 3.1; Chan, Golub, LeVeque (1979) for the second moment.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import float64, int64, uint64
from numpy.typing import NDArray

from rbt_ray.objectives.sweep.lanes import add_where, byte, least, load, popcount, splat, store, transpose
from rbt_ray.objectives.sweep.layout import LANES, TILE, WORDS
from rbt_ray.simulate.compiled import FLAG, INTEGER, NUMBER, VECTOR, compiled
from rbt_ray.types import FloatArray, IntArray

STATE = ("equity", "ratio", "low", "mean", "squares", "cubes", "fourths", "downside")
"""What is kept of each config between tiles: the first three begin at 1, the others at 0."""
EQUITY, RATIO, LOW, MEAN, SQUARES, CUBES, FOURTHS, DOWNSIDE = range(8)

WORD_TABLE = numba.types.Array(uint64, 1, "C", readonly=True)
ONE, TOP, ALL = np.uint64(1), np.uint64(63), np.uint64(2**64 - 1)
MASKS = 3 * WORDS
"""Words of bits a symbol: those held after the fill, those held before it, those in which the two differ."""


part = numba.njit(inline="always", nogil=True, error_model="numpy")


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
) -> tuple[int, int]:
    """Writes the masks of one config and tile; how many bars hold something, and how many positions change."""
    n_held, n_changes = np.uint64(0), np.uint64(0)
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
            masks[i * MASKS + k] = new
            masks[i * MASKS + WORDS + k] = old
            masks[i * MASKS + 2 * WORDS + k] = changed
            n_held += popcount(new)
            n_changes += popcount(changed)
            decided_before, held_before = decided >> TOP, new >> TOP
        carry[carry_at + i] = decided_before | (held_before << ONE)
    return int(n_held), int(n_changes)


@part  # type: ignore[untyped-decorator]
def _returns(
    masks: NDArray[np.uint64],
    before: FloatArray,
    after: FloatArray,
    at: int,
    n_symbols: int,
    cost: float,
    buffer: FloatArray,
    row: int,
) -> None:
    """Writes the portfolio's returns on the bars of a tile, 32 bars in registers at a time."""
    octets = masks.view(np.uint8)
    fee = splat(-cost)
    share = splat(1.0 / n_symbols)
    for k in range(0, TILE // LANES, 4):
        r0, r1, r2, r3 = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
        for i in range(n_symbols):
            old = i * MASKS * 8 + WORDS * 8 + k
            changed = old + WORDS * 8
            leg = at + i * TILE + k * LANES
            r0 = add_where(byte(octets, old), r0, load(before, leg))
            r1 = add_where(byte(octets, old + 1), r1, load(before, leg + LANES))
            r2 = add_where(byte(octets, old + 2), r2, load(before, leg + 2 * LANES))
            r3 = add_where(byte(octets, old + 3), r3, load(before, leg + 3 * LANES))
            r0 = add_where(byte(octets, changed), r0, fee)
            r1 = add_where(byte(octets, changed + 1), r1, fee)
            r2 = add_where(byte(octets, changed + 2), r2, fee)
            r3 = add_where(byte(octets, changed + 3), r3, fee)
            if len(after) > 0:
                new = old - WORDS * 8
                r0 = add_where(byte(octets, new), r0, load(after, leg))
                r1 = add_where(byte(octets, new + 1), r1, load(after, leg + LANES))
                r2 = add_where(byte(octets, new + 2), r2, load(after, leg + 2 * LANES))
                r3 = add_where(byte(octets, new + 3), r3, load(after, leg + 3 * LANES))
        to = row + k * LANES
        store(buffer, to, r0 * share)
        store(buffer, to + LANES, r1 * share)
        store(buffer, to + 2 * LANES, r2 * share)
        store(buffer, to + 3 * LANES, r3 * share)


@part  # type: ignore[untyped-decorator]
def _advance(buffer: FloatArray, at: int, start: int, bars: int, state: FloatArray, n_configs: int, group: int) -> None:
    """Equity, drawdown, mean and squares of eight configs over the bars of a tile."""
    one = splat(1.0)
    equity = load(state, EQUITY * n_configs + group)
    ratio = load(state, RATIO * n_configs + group)
    low = load(state, LOW * n_configs + group)
    mean = load(state, MEAN * n_configs + group)
    total, squares = splat(0.0), splat(0.0)
    for t in range(bars):
        r = load(buffer, at + t * LANES)
        growth = r + one
        equity = equity * growth
        ratio = least(ratio * growth, one)
        low = least(low, ratio)
        deviation = r - mean
        total = total + deviation
        squares = squares + deviation * deviation
    store(state, EQUITY * n_configs + group, equity)
    store(state, RATIO * n_configs + group, ratio)
    store(state, LOW * n_configs + group, low)
    shift = total / splat(np.float64(bars))
    squares = squares - total * shift + total * shift * splat(start / (start + bars))
    store(state, SQUARES * n_configs + group, load(state, SQUARES * n_configs + group) + squares)
    store(state, MEAN * n_configs + group, mean + total / splat(np.float64(start + bars)))


@part  # type: ignore[untyped-decorator]
def _higher(buffer: FloatArray, at: int, start: int, bars: int, state: FloatArray, n_configs: int, group: int) -> None:
    """Third and fourth moments and the downside of eight configs; before `_advance`, as it needs the moments so far."""
    zero = splat(0.0)
    mean = load(state, MEAN * n_configs + group)
    s1, s2, s3, s4 = zero, zero, zero, zero
    downside = load(state, DOWNSIDE * n_configs + group)
    for t in range(bars):
        r = load(buffer, at + t * LANES)
        loss = least(r, zero)
        downside = downside + loss * loss
        d = r - mean
        square = d * d
        s1 = s1 + d
        s2 = s2 + square
        s3 = s3 + square * d
        s4 = s4 + square * square
    store(state, DOWNSIDE * n_configs + group, downside)

    n_a, n_b = np.float64(start), np.float64(bars)
    n = n_a + n_b
    shift = s1 / splat(n_b)
    square = shift * shift
    # Central moments of the tile.
    m2 = s2 - shift * s1
    m3 = s3 - splat(3.0) * shift * s2 + splat(2.0 * n_b) * shift * square
    m4 = s4 - splat(4.0) * shift * s3 + splat(6.0) * square * s2 - splat(3.0 * n_b) * square * square
    # Joined to those of the bars before it; `shift` is also the distance between the two means.
    squares = load(state, SQUARES * n_configs + group)
    cubes = load(state, CUBES * n_configs + group)
    fourths = (
        load(state, FOURTHS * n_configs + group)
        + m4
        + splat(n_a * n_b * (n_a * n_a - n_a * n_b + n_b * n_b) / (n * n * n)) * square * square
        + splat(6.0 / (n * n)) * square * (splat(n_a * n_a) * m2 + splat(n_b * n_b) * squares)
        + splat(4.0 / n) * shift * (splat(n_a) * m3 - splat(n_b) * cubes)
    )
    cubes = (
        cubes
        + m3
        + splat(n_a * n_b * (n_a - n_b) / (n * n)) * shift * square
        + splat(3.0 / n) * shift * (splat(n_a) * m2 - splat(n_b) * squares)
    )
    store(state, CUBES * n_configs + group, cubes)
    store(state, FOURTHS * n_configs + group, fourths)


@compiled(
    WORD_TABLE, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER, VECTOR, VECTOR, WORD_TABLE, NUMBER, FLAG, uint64[::1],
    int64[::1], float64[::1], float64[::1],
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
    priced: NDArray[np.uint64],
    cost: float,
    moments: bool,
    carry: NDArray[np.uint64],
    counts: IntArray,
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
        priced: bits of the bars on which a position can be taken or held.
        cost: of a unit of turnover, a fraction.
        moments: whether to keep the third and fourth moments and the downside as well.
        carry: ``(n_configs, n_symbols)`` flat: the last bar's decision in bit 0, the position held in bit 1.
        counts: ``(2, n_configs)`` flat: bars on which a symbol was held, changes of a position.
        state: ``(8, n_configs)`` flat, `n_configs` a multiple of 8; see `STATE`.
        buffer: ``(2, 8, 128)`` flat: room to work in.
    """
    n_configs = len(state) // len(STATE)
    columns = LANES * TILE
    masks = np.empty(n_symbols * MASKS, np.uint64)
    for tile in range(first, first + tiles):
        start = tile * TILE
        bars = min(TILE, n_bars - start)
        for group in range(0, n_configs, LANES):
            for member in range(LANES):
                config = group + member
                at = ((tile - first) * n_configs + config) * n_symbols * WORDS
                held, changes = _positions(
                    words, at, priced, tile * n_symbols * WORDS, n_symbols, lag, bars, carry, config * n_symbols, masks
                )
                counts[config] += held
                counts[n_configs + config] += changes
                _returns(masks, before, after, tile * n_symbols * TILE, n_symbols, cost, buffer, member * TILE)
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
                _higher(buffer, columns, start, bars, state, n_configs, group)
            _advance(buffer, columns, start, bars, state, n_configs, group)
