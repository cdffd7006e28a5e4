"""Scores a batch of configs of a built-in objective: columns of parameters to columns of metrics."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rbt_ray.objectives.sweep.accounts import open_account
from rbt_ray.objectives.sweep.blocks import BlockTable
from rbt_ray.objectives.sweep.layout import WIDTH, WORDS, n_tiles
from rbt_ray.objectives.sweep.scratch import scratch
from rbt_ray.objectives.sweep.statistics import LOW, MEAN, STATE
from rbt_ray.objectives.sweep.statistics_table import Statistics
from rbt_ray.simulate.costs import BASIS_POINTS
from rbt_ray.simulate.metrics import METRIC_NAMES, METRICS, SUMS, from_sums
from rbt_ray.types import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from rbt_ray.data.view import BundleView
    from rbt_ray.objectives.blocks import BlockRequest
    from rbt_ray.objectives.builtin.strategy import Strategy, SweptObjective

Columns: TypeAlias = Mapping[str, FloatArray]
"""Parameters ``(n_configs,)`` by name."""
Signals: TypeAlias = Callable[[int, int, int, NDArray[np.uint64]], None]
"""Called as `signals(first, tiles, n_rows, words)`: writes the positions of `tiles` tiles from `first` on into
``(tiles, n_rows, n_symbols, 2)`` words."""

MOST_WORDS = 2**17
"""Words of positions processed at once: 1 MB, which fits the second-level cache."""
MOST_CONFIGS = 8192
"""Configs processed at once if a few tiles suffice; more configs share more indicators."""
_OF_MOMENTS = frozenset(metric.name for metric in METRICS if metric.needs_moments)


def sweep(
    strategy: SweptObjective,
    view: BundleView,
    columns: Columns,
    names: tuple[str, ...],
    request: BlockRequest | None = None,
) -> tuple[dict[str, FloatArray], FloatArray]:
    """Returns metrics ``(n_configs,)`` by name, and block sums, a row each; the parameters must be valid.

    Configs are sorted so that neighbours share indicators, and processed a few thousand at a time to bound the memory.
    Neither changes a figure, and neither do the block sums change a metric.

    Args:
        strategy: the objective.
        view: prices.
        columns: parameters.
        names: of the metrics.
        request: the configs and blocks whose block sums are wanted, and the benchmark; None: of none.
    """
    n_configs = len(next(iter(columns.values())))
    metrics = {name: np.empty(n_configs) for name in names}
    requested = np.empty(0, np.int64) if request is None else request.rows
    sums, place = np.empty((len(requested), 0 if request is None else request.width)), np.full(n_configs, -1)
    place[requested] = np.arange(len(requested))
    for chunk in chunks_of(strategy, view, columns, names, np.array([view.n_bars]), request):
        rows = chunk.rows
        state = chunk.state[:, 0].swapaxes(0, 1).reshape(len(STATE), -1)[:, : len(rows)]
        figures = metrics_from(state, view.n_bars, view.periods_per_year, names)
        for name in names:
            metrics[name][rows] = figures[name]
        wanted = np.flatnonzero(place[rows] >= 0)
        if len(wanted):
            chunk.blocks.write(wanted, sums, place[rows[wanted]])
        # A bankrupt run ends early, which the sums do not take into account.
        for row in rows[state[LOW] <= 0.0]:
            run = strategy({name: values[row] for name, values in columns.items()}, view)
            plain = run.metrics()
            for name in names:
                metrics[name][row] = plain[name]
            if request is not None and place[row] >= 0:
                sums[place[row]] = request.sums_of(run.returns)
    return metrics, sums


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """The statistics of configs that were processed together.

    Args:
        rows: ``(n_rows,)`` their rows in the columns of parameters.
        state: ``(n / 8, n_segments, n_statistics, 8)``, `n` the next multiple of 8; see `statistics.STATE`. As `blocks`, it
            must not be used after the next chunk.
        blocks: their block sums.
    """

    rows: IntArray
    state: FloatArray
    blocks: BlockTable


def chunks_of(
    strategy: SweptObjective,
    view: BundleView,
    columns: Columns,
    names: tuple[str, ...],
    segments: IntArray,
    request: BlockRequest | None = None,
    most_configs: int = MOST_CONFIGS,
) -> Iterator[Chunk]:
    """Yields the statistics of all configs, a few thousand configs at a time.

    Args:
        strategy: the objective.
        view: prices.
        columns: parameters.
        names: the metrics to compute from them; statistics that none needs may have any value.
        segments: ``(n_segments,)`` the bar after the last one of each segment; the last is the number of bars.
        request: as for `sweep`; None if there are several segments.
        most_configs: the most configs at a time.
    """
    moments = needs_moments(names)
    positions, turnover = needs(names, "held", "fills", "trips"), needs(names, "traded")
    order = strategy.order(columns)
    is_requested = np.zeros(len(order), bool)
    if request is not None:
        is_requested[request.rows] = True
    size = strategy.at_once(view, len(order), most_configs)
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        n_rows = -(-len(rows) // WIDTH) * WIDTH
        state = scratch("state", len(segments) * len(STATE) * n_rows)
        table = state.reshape(-1, len(segments), len(STATE), WIDTH)
        if len(segments) == 1:  # with several, kernels begin each segment
            table[:, :, :MEAN], table[:, :, MEAN:] = 1.0, 0.0
        wanted = np.zeros(n_rows, bool)
        wanted[: len(rows)] = is_requested[rows]
        blocks = BlockTable.of(request, wanted)
        statistics = Statistics(n_rows, moments, positions, turnover, state, segments, blocks)
        strategy.advance(view, {name: values[rows] for name, values in columns.items()}, statistics)
        yield Chunk(rows, table, blocks)


def advance_by_signals(strategy: Strategy, view: BundleView, columns: Columns, statistics: Statistics) -> None:
    """Advances statistics by the positions that a built-in objective writes, some tiles at a time."""
    tiles, n_rows = n_tiles(view.n_bars), statistics.n_rows
    _, step = sizes(strategy.whole_history, view, len(next(iter(columns.values()))), MOST_CONFIGS)
    signals = strategy.signals(view, columns)
    words = np.zeros(step * n_rows * view.n_symbols * WORDS, np.uint64)
    cost = strategy.turnover_bps / BASIS_POINTS
    advance = open_account(view, strategy.fills(view), strategy.rebalance, cost, statistics)
    for first in range(0, tiles, step):
        now = min(step, tiles - first)
        signals(first, now, n_rows, words)
        advance(first, now, words)


def needs_moments(names: tuple[str, ...]) -> bool:
    """Returns whether any of these metrics needs the third and fourth moments or the downside."""
    return not _OF_MOMENTS.isdisjoint(names)


@functools.cache
def needs(names: tuple[str, ...], *sums: str) -> bool:
    """Returns whether any of these metrics is computed from any of these sums, see `rbt_ray.simulate.metrics.SUMS`."""
    return any(not set(sums).isdisjoint(metric.sums) for metric in METRICS if metric.name in names)


def sizes(whole_history: bool, view: BundleView, n_configs: int, most: int) -> tuple[int, int]:
    """Returns how many configs and how many tiles to process at once."""
    n_symbols, tiles = view.n_symbols, n_tiles(view.n_bars)
    if whole_history:
        return min(most, max(WIDTH, MOST_WORDS // (tiles * n_symbols * WORDS) // WIDTH * WIDTH)), tiles
    size = max(1, min(n_configs, most, MOST_CONFIGS if n_symbols <= 64 else MOST_CONFIGS // 8))
    return size, min(tiles, max(1, MOST_WORDS // (size * n_symbols * WORDS)))


def metrics_from(
    state: FloatArray, n_bars: int | IntArray, periods_per_year: float, names: tuple[str, ...]
) -> dict[str, FloatArray]:
    """Returns metrics by name, each of the shape of a statistic, from ``(n_statistics, ...)`` statistics."""
    equity, _, low, _, *sums = state  # in the order of `from_sums`
    # Statistics that no requested metric uses are cut to one config, so that the other metrics take no time.
    given = [
        values if needs(names, name) else values[..., :1]
        for name, values in zip(SUMS, (equity, low - 1.0, *sums), strict=True)
    ]
    settings: tuple[Any, ...] = (n_bars, periods_per_year, _only_if, needs_moments(names))
    with np.errstate(all="ignore"):  # statistics that no requested metric uses may have any value
        figures = dict(zip(METRIC_NAMES, from_sums(*given, *settings), strict=True))
    return {name: figures[name] for name in names}


def _only_if(condition: BoolArray, values: FloatArray) -> FloatArray:
    return np.where(condition, values, np.nan)
