"""Scores a batch of configs of a built-in objective on several windows, in one pass over the bundle.

The first and last bars of all windows divide the bundle into segments. Kernels compute the statistics of each segment on its
own, with warm indicators and with the positions of the bars before, and the statistics of a window are merged from those of its
segments. So the time hardly depends on the number of windows, which may overlap and have gaps.

For a drawdown, a segment is a function of the ratio `q` of equity to its running peak: it ends at `min(ratio, q * equity)`,
and its lowest value is `min(low, q * trough)`. These are `statistics.STATE`, computed with `q = 1`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numba import float64

from rbt_ray.objectives.sweep.layout import WIDTH
from rbt_ray.objectives.sweep.run import Columns, chunks_of, metrics_from, needs, needs_moments
from rbt_ray.objectives.sweep.scratch import scratch
from rbt_ray.objectives.sweep.simd import least, load, splat, store
from rbt_ray.objectives.sweep.statistics import (
    CUBES,
    DOWNSIDE,
    EQUITY,
    FILLS,
    FOURTHS,
    HELD,
    LOW,
    MEAN,
    RATIO,
    SQUARES,
    STATE,
    TRADED,
    TRIPS,
    TROUGH,
    column_of,
    merged_moments,
)
from rbt_ray.simulate.compiled import COUNTS, FLAG, VECTOR, compiled
from rbt_ray.study.windows import Ranges, bars_of
from rbt_ray.types import FloatArray, IntArray

if TYPE_CHECKING:
    from rbt_ray.data.view import BundleView
    from rbt_ray.objectives.builtin.strategy import SweptObjective


MOST_STATISTICS = 2**20
"""Statistics of all segments, or of all windows, and configs that are processed at once: 8 MB."""


def sweep_windows(
    strategy: SweptObjective, view: BundleView, columns: Columns, names: tuple[str, ...], windows: Sequence[Ranges]
) -> dict[str, FloatArray]:
    """Returns metrics ``(n_windows, n_configs)`` by name; the parameters must be valid.

    They are those of the config's backtest on the bars of each window, `Backtest.on(bars)`, up to rounding. A window's figures
    depend on the prices up to its last bar and on the first and last bars of the windows, but not on the batch.

    Args:
        strategy: the objective.
        view: prices.
        columns: parameters.
        names: of the metrics.
        windows: ranges of bars.
    """
    view = view.window(0, max(window[-1][1] for window in windows))
    segments = np.array(sorted({edge for window in windows for one in window for edge in one} - {0}))
    starts = np.concatenate([[0], segments[:-1]])
    ranges = np.array([one for window in windows for one in window])
    firsts, lasts = np.searchsorted(starts, ranges[:, 0]), np.searchsorted(segments, ranges[:, 1])
    lengths, offsets = segments - starts, np.cumsum([0, *map(len, windows)])
    n_bars = np.array([[sum(stop - start for start, stop in window)] for window in windows])
    n_configs, moments = len(next(iter(columns.values()))), needs_moments(names)
    trades = needs(names, "traded", "held", "fills", "trips")
    most = MOST_STATISTICS // (len(STATE) * max(len(segments), len(windows))) // WIDTH * WIDTH
    found = {name: np.empty((len(windows), n_configs)) for name in names}
    for chunk in chunks_of(strategy, view, columns, names, segments, most_configs=max(WIDTH, most)):
        merged = scratch("windows", len(STATE) * len(windows) * len(chunk.state) * WIDTH)
        lowest = np.empty(len(chunk.state) * WIDTH)
        merge(chunk.state.ravel(), lengths, firsts, lasts, offsets, moments, trades, merged, lowest)
        table = merged.reshape(len(STATE), len(windows), -1)[..., : len(chunk.rows)]
        figures = metrics_from(table, n_bars, view.periods_per_year, names)
        for name in names:
            found[name][:, chunk.rows] = figures[name]
        # A bankrupt run ends early, which the sums of its segment and of later ones do not take into account.
        for column in np.flatnonzero(lowest[: len(chunk.rows)] <= 0.0):
            row = chunk.rows[column]
            lost = chunk.state[column // WIDTH, :, LOW, column % WIDTH] <= 0.0
            run = strategy({name: values[row] for name, values in columns.items()}, view)
            for number, window in enumerate(windows):
                if window[-1][1] > starts[np.argmax(lost)]:
                    plain = run.on(bars_of(window))
                    for name in names:
                        found[name][number, row] = plain[name]
    return found


@compiled(VECTOR, COUNTS, COUNTS, COUNTS, COUNTS, FLAG, FLAG, float64[::1], float64[::1])
def merge(
    state: FloatArray,
    lengths: IntArray,
    firsts: IntArray,
    lasts: IntArray,
    offsets: IntArray,
    moments: bool,
    trades: bool,
    merged: FloatArray,
    lowest: FloatArray,
) -> None:
    """Merges the statistics of segments into those of windows, each in the order of its segments.

    Args:
        state: ``(n_configs / 8, n_segments, n_statistics, 8)`` flat; see `statistics.STATE`.
        lengths: ``(n_segments,)`` the number of bars of each segment.
        firsts: ``(n_ranges,)`` the first segment of each range of bars, one window after the other.
        lasts: ``(n_ranges,)`` its last segment.
        offsets: ``(n_windows + 1,)`` the first range of each window, and the number of ranges.
        moments: whether to merge the third and fourth moments and the downside.
        trades: whether to merge the statistics of trades and holdings.
        merged: ``(n_statistics, n_windows, n_configs)`` flat: the output; no other statistics are written.
        lowest: ``(n_configs,)`` output: the lowest ratio of equity to its peak within any segment.
    """
    n_configs, n_windows = len(state) // (len(STATE) * len(lengths)), len(offsets) - 1
    zero, one = splat(0.0), splat(1.0)
    for group in range(0, n_configs, WIDTH):
        low = one
        for k in range(len(lengths)):
            low = least(low, load(state, LOW * WIDTH + column_of(group, k, len(lengths))))
        store(lowest, group, low)
        for window in range(n_windows):
            equity, ratio, low, mean, squares = one, one, one, zero, zero
            cubes, fourths, downside = zero, zero, zero
            traded, held, fills, trips = zero, zero, zero, zero
            n_a = 0.0
            for one_range in range(offsets[window], offsets[window + 1]):
                for k in range(firsts[one_range], lasts[one_range] + 1):
                    at = column_of(group, k, len(lengths))
                    n_b = np.float64(lengths[k])
                    growth = load(state, EQUITY * WIDTH + at)
                    low = least(least(low, load(state, LOW * WIDTH + at)), ratio * load(state, TROUGH * WIDTH + at))
                    ratio = least(load(state, RATIO * WIDTH + at), ratio * growth)
                    equity = equity * growth
                    shift = load(state, MEAN * WIDTH + at) - mean
                    own_squares = load(state, SQUARES * WIDTH + at)
                    if moments:
                        cubes, fourths = merged_moments(
                            n_a, n_b, shift, squares, cubes, fourths, own_squares,
                            load(state, CUBES * WIDTH + at), load(state, FOURTHS * WIDTH + at),
                        )  # fmt: skip
                        downside = downside + load(state, DOWNSIDE * WIDTH + at)
                    squares = squares + own_squares + shift * shift * splat(n_a * n_b / (n_a + n_b))
                    mean = mean + shift * splat(n_b / (n_a + n_b))
                    if trades:
                        traded = traded + load(state, TRADED * WIDTH + at)
                        held = held + load(state, HELD * WIDTH + at)
                        fills = fills + load(state, FILLS * WIDTH + at)
                        trips = trips + load(state, TRIPS * WIDTH + at)
                    n_a += n_b
            to, step = window * n_configs + group, n_windows * n_configs
            store(merged, EQUITY * step + to, equity)
            store(merged, LOW * step + to, low)
            store(merged, MEAN * step + to, mean)
            store(merged, SQUARES * step + to, squares)
            if moments:
                store(merged, CUBES * step + to, cubes)
                store(merged, FOURTHS * step + to, fourths)
                store(merged, DOWNSIDE * step + to, downside)
            if trades:
                store(merged, TRADED * step + to, traded)
                store(merged, HELD * step + to, held)
                store(merged, FILLS * step + to, fills)
                store(merged, TRIPS * step + to, trips)
