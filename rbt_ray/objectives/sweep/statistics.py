"""Updates the statistics of eight configs at once from the returns of a tile.

Drawdown needs no division: the ratio of equity to its running peak is `q[t] = min(1, q[t-1] * (1 + r[t]))`, and the
maximum drawdown is `min q - 1`. Moments are summed about the mean of the bars before the tile, converted to central
moments of the tile, and merged with those of the earlier tiles. No digits are lost if the mean is large compared with the
deviation. The order of operations depends on the bars alone, so a config has the same figures, bit for bit, in any batch.

Sums over the blocks of a study (`rbt_ray.block_sums`) are plain sums in the order of the bars, so a block without a position
has sums of exactly 0.

Source:
    Pébay (2008), "Formulas for Robust, One-Pass Parallel Computation of Covariances and Arbitrary-Order Statistical
    Moments", Sandia report SAND2008-6212, equations 2.1, 3.1; Chan, Golub, LeVeque (1979) for the second moment.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from rbt_ray.objectives.sweep.layout import WIDTH
from rbt_ray.objectives.sweep.simd import add_product, least, load, load_splat, splat, store
from rbt_ray.types import FloatArray, IntArray

STATE = (
    "equity", "ratio", "low", "trough", "mean", "squares", "cubes", "fourths", "downside", "traded", "held", "fills", "trips",
)  # fmt: skip
"""The statistics of a config between tiles: the first four start at 1, the others at 0.

They are in an array ``(n_configs / 8, n_segments, n_statistics, 8)``, so that those of eight configs are next to one another.
Below, `column` is the index of the first statistic of eight configs in a segment.
"""
EQUITY, RATIO, LOW, TROUGH, MEAN, SQUARES, CUBES, FOURTHS, DOWNSIDE, TRADED, HELD, FILLS, TRIPS = range(13)

inlined = numba.njit(inline="always", nogil=True, error_model="numpy")


@inlined  # type: ignore[untyped-decorator]
def column_of(group: int, segment: int, n_segments: int) -> int:
    """Returns the index of the first statistic of the eight configs from `group` on in a segment."""
    return (group * n_segments + segment * WIDTH) * len(STATE)


@inlined  # type: ignore[untyped-decorator]
def _add_bar(r: Any, mean: Any, equity: Any, ratio: Any, low: Any, total: Any, squares: Any) -> Any:
    """Returns equity, drawdown and sums of deviations after one more bar."""
    one = splat(1.0)
    growth = r + one
    ratio = least(ratio * growth, one)
    deviation = r - mean
    return equity * growth, ratio, least(low, ratio), total + deviation, squares + deviation * deviation


@inlined  # type: ignore[untyped-decorator]
def _store_tile(
    equity: Any, ratio: Any, low: Any, mean: Any, total: Any, squares: Any,
    start: int, bars: int, state: FloatArray, column: int,
) -> None:  # fmt: skip
    """Writes the statistics at the end of a tile."""
    store(state, EQUITY * WIDTH + column, equity)
    store(state, RATIO * WIDTH + column, ratio)
    store(state, LOW * WIDTH + column, low)
    shift = total / splat(np.float64(bars))
    squares = squares - total * shift + total * shift * splat(start / (start + bars))
    store(state, SQUARES * WIDTH + column, load(state, SQUARES * WIDTH + column) + squares)
    store(state, MEAN * WIDTH + column, mean + total / splat(np.float64(start + bars)))


@inlined  # type: ignore[untyped-decorator]
def bars_before(segments: IntArray, segment: int, bar: int) -> int:
    """Returns how many bars of a segment are before `bar`."""
    start = 0
    if segment > 0:
        start = int(segments[segment - 1])
    return bar - start


@inlined  # type: ignore[untyped-decorator]
def begin_part(segments: IntArray, segment: int, bar: int, state: FloatArray, column: int) -> int:
    """Returns how many bars of a segment are before `bar`; if there are none, sets its statistics to those before any bar."""
    before: int = bars_before(segments, segment, bar)
    if before == 0:
        for number in range(len(STATE)):
            store(state, number * WIDTH + column, splat(1.0 if number < MEAN else 0.0))
    return before


@inlined  # type: ignore[untyped-decorator]
def advance(buffer: FloatArray, at: int, start: int, bars: int, state: FloatArray, column: int) -> None:
    """Updates equity, drawdown, mean and squares of eight configs over the bars of a tile."""
    equity = load(state, EQUITY * WIDTH + column)
    ratio = load(state, RATIO * WIDTH + column)
    low = load(state, LOW * WIDTH + column)
    mean = load(state, MEAN * WIDTH + column)
    total, squares = splat(0.0), splat(0.0)
    for t in range(bars):
        r = load(buffer, at + t * WIDTH)
        equity, ratio, low, total, squares = _add_bar(r, mean, equity, ratio, low, total, squares)
    _store_tile(equity, ratio, low, mean, total, squares, start, bars, state, column)


@inlined  # type: ignore[untyped-decorator]
def advance_segment(buffer: FloatArray, at: int, start: int, bars: int, state: FloatArray, column: int) -> None:
    """Updates what `advance` does and the trough, the lowest equity, with which drawdowns of segments are merged."""
    equity = load(state, EQUITY * WIDTH + column)
    ratio = load(state, RATIO * WIDTH + column)
    low = load(state, LOW * WIDTH + column)
    trough = load(state, TROUGH * WIDTH + column)
    mean = load(state, MEAN * WIDTH + column)
    total, squares = splat(0.0), splat(0.0)
    for t in range(bars):
        r = load(buffer, at + t * WIDTH)
        equity, ratio, low, total, squares = _add_bar(r, mean, equity, ratio, low, total, squares)
        trough = least(equity, trough)
    store(state, TROUGH * WIDTH + column, trough)
    _store_tile(equity, ratio, low, mean, total, squares, start, bars, state, column)


@inlined  # type: ignore[untyped-decorator]
def advance_with_blocks(
    buffer: FloatArray,
    at: int,
    start: int,
    bars: int,
    block: int,
    ends: IntArray,
    benchmark: FloatArray,
    sums: FloatArray,
    n_configs: int,
    group: int,
    state: FloatArray,
    column: int,
) -> None:
    """Updates what `advance` does, to the same bits, and block sums; the tile starts in `block` of a `blocks.BlockTable`.

    One loop does both: `advance` waits for the product of the bar before, and the sums use that time. A table with room for it
    gets the equity at the end of each block.
    """
    equity = load(state, EQUITY * WIDTH + column)
    ratio = load(state, RATIO * WIDTH + column)
    low = load(state, LOW * WIDTH + column)
    mean = load(state, MEAN * WIDTH + column)
    total, squares, one = splat(0.0), splat(0.0), splat(1.0)
    first, stride = 0, n_configs + WIDTH
    while first < bars:
        while ends[block] <= start + first:
            block += 1
        plain = block * stride + group
        square, product = plain + len(ends) * stride, plain + 2 * len(ends) * stride
        own, own_squares, products = load(sums, plain), load(sums, square), load(sums, product)
        last = min(bars, ends[block] - start)
        for t in range(first, last):
            r = load(buffer, at + t * WIDTH)
            equity, ratio, low, total, squares = _add_bar(r, mean, equity, ratio, low, total, squares)
            own = add_product(own, r, one)  # equal to own + r
            own_squares = add_product(own_squares, r, r)
            products = add_product(products, r, load_splat(benchmark, start + t))
        store(sums, plain, own)
        store(sums, square, own_squares)
        store(sums, product, products)
        if len(sums) > 3 * len(ends) * stride:
            store(sums, plain + 3 * len(ends) * stride, equity)
        first = last
    _store_tile(equity, ratio, low, mean, total, squares, start, bars, state, column)


@inlined  # type: ignore[untyped-decorator]
def advance_moments(buffer: FloatArray, at: int, start: int, bars: int, state: FloatArray, column: int) -> None:
    """Updates third and fourth moments and the downside of eight configs; call it before `advance`, whose input it reads."""
    zero = splat(0.0)
    mean = load(state, MEAN * WIDTH + column)
    s1, s2, s3, s4 = zero, zero, zero, zero
    downside = load(state, DOWNSIDE * WIDTH + column)
    for t in range(bars):
        r = load(buffer, at + t * WIDTH)
        loss = least(r, zero)
        downside = downside + loss * loss
        d = r - mean
        square = d * d
        s1 = s1 + d
        s2 = s2 + square
        s3 = s3 + square * d
        s4 = s4 + square * square
    store(state, DOWNSIDE * WIDTH + column, downside)

    n_a, n_b = np.float64(start), np.float64(bars)
    shift = s1 / splat(n_b)
    square = shift * shift
    # Central moments of the tile.
    m2 = s2 - shift * s1
    m3 = s3 - splat(3.0) * shift * s2 + splat(2.0 * n_b) * shift * square
    m4 = s4 - splat(4.0) * shift * s3 + splat(6.0) * square * s2 - splat(3.0 * n_b) * square * square
    # Merge with the bars before the tile; `shift` is also the difference of the two means.
    squares = load(state, SQUARES * WIDTH + column)
    cubes, fourths = load(state, CUBES * WIDTH + column), load(state, FOURTHS * WIDTH + column)
    cubes, fourths = merged_moments(n_a, n_b, shift, squares, cubes, fourths, m2, m3, m4)
    store(state, CUBES * WIDTH + column, cubes)
    store(state, FOURTHS * WIDTH + column, fourths)


@inlined  # type: ignore[untyped-decorator]
def merged_moments(
    n_a: float, n_b: float, shift: Any, squares: Any, cubes: Any, fourths: Any, m2: Any, m3: Any, m4: Any
) -> Any:
    """Returns the third and fourth central moments, as sums, of `n_a` bars and of `n_b` bars after them.

    Args:
        n_a: bars of the first part.
        n_b: bars of the second part.
        shift: the mean of the second part minus that of the first.
        squares: second moment of the first part.
        cubes: its third moment.
        fourths: its fourth moment.
        m2: second moment of the second part.
        m3: its third moment.
        m4: its fourth moment.
    """
    n, square = n_a + n_b, shift * shift
    fourths = (
        fourths
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
    return cubes, fourths


@inlined  # type: ignore[untyped-decorator]
def block_at(ends: IntArray, bar: int) -> int:
    """Returns the block or segment that holds a bar; `ends` are the bars after the last one of each."""
    block = 0
    while block < len(ends) and ends[block] <= bar:
        block += 1
    return block


@inlined  # type: ignore[untyped-decorator]
def advance_part(
    segmented: bool, moments: bool, wanted: NDArray[np.uint8], buffer: FloatArray, at: int, seen: int, bars: int, block: int,
    ends: IntArray, benchmark: FloatArray, sums: FloatArray, n_configs: int, group: int, state: FloatArray, column: int,
) -> None:  # fmt: skip
    """Updates the statistics of eight configs over the bars of a tile, or of the part of it that is in a segment.

    Of the segment, `seen` bars were before. The other arguments are those of the kernels and of `advance_with_blocks`.
    """
    if moments:
        advance_moments(buffer, at, seen, bars, state, column)
    if segmented:
        advance_segment(buffer, at, seen, bars, state, column)
    elif wanted[group // WIDTH]:
        advance_with_blocks(buffer, at, seen, bars, block, ends, benchmark, sums, n_configs, group, state, column)
    else:
        advance(buffer, at, seen, bars, state, column)
