"""Scores a batch of configs of a built-in objective: columns of parameters to columns of metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rbt_ray.block_sums import sums_of
from rbt_ray.objectives.sweep.accounts import new_state, open_account
from rbt_ray.objectives.sweep.blocks import BlockTable
from rbt_ray.objectives.sweep.layout import WIDTH, WORDS, n_tiles
from rbt_ray.objectives.sweep.statistics import LOW, STATE
from rbt_ray.simulate.costs import BASIS_POINTS
from rbt_ray.simulate.metrics import METRIC_NAMES, METRICS, from_sums
from rbt_ray.types import BoolArray, FloatArray

if TYPE_CHECKING:
    from rbt_ray.data.view import BundleView
    from rbt_ray.objectives.blocks import BlockRequest
    from rbt_ray.objectives.builtin.strategy import Strategy

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
    strategy: Strategy,
    view: BundleView,
    columns: Columns,
    names: tuple[str, ...],
    request: BlockRequest | None = None,
) -> tuple[dict[str, FloatArray], FloatArray]:
    """Returns metrics ``(n_configs,)`` by name, and block sums ``(n_requested, 3 * n_blocks)``; the parameters must be valid.

    Configs are sorted so that neighbours share indicators, and processed a few thousand at a time to bound the memory.
    Neither changes a figure, and neither do the block sums change a metric.

    Args:
        strategy: the objective.
        view: prices.
        columns: parameters.
        names: of the metrics.
        request: the configs and blocks whose block sums are wanted, and the benchmark; None: of none.
    """
    execution = strategy.fills(view)
    cost = strategy.turnover_bps / BASIS_POINTS
    n_bars, n_symbols, tiles = view.n_bars, view.n_symbols, n_tiles(view.n_bars)
    moments = not _OF_MOMENTS.isdisjoint(names)

    order = strategy.order(columns)
    size, step = _sizes(strategy.whole_history, len(order), n_symbols, tiles)
    metrics = {name: np.empty(len(order)) for name in names}
    requested = np.empty(0, np.int64) if request is None else request.rows
    sums, place = np.empty((len(requested), 0 if request is None else 3 * len(request.ends))), np.full(len(order), -1)
    place[requested] = np.arange(len(requested))
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        n_rows = -(-len(rows) // WIDTH) * WIDTH
        signals = strategy.signals(view, {name: values[rows] for name, values in columns.items()})
        words = np.zeros(step * n_rows * n_symbols * WORDS, np.uint64)
        state = new_state(n_rows)
        wanted = np.zeros(n_rows, bool)
        wanted[: len(rows)] = place[rows] >= 0
        blocks = BlockTable.of(request, wanted)
        advance = open_account(view, execution, strategy.rebalance, cost, moments, state, blocks)
        for first in range(0, tiles, step):
            now = min(step, tiles - first)
            signals(first, now, n_rows, words)
            advance(first, now, words)
        figures = _metrics(state.reshape(len(STATE), n_rows)[:, : len(rows)], n_bars, view.periods_per_year)
        for name in names:
            metrics[name][rows] = figures[name]
        if wanted.any():
            configs = np.flatnonzero(wanted)
            blocks.write(configs, sums, place[rows[configs]])
        # A bankrupt run ends early, which the sums do not take into account.
        for row in rows[state[LOW * n_rows : LOW * n_rows + len(rows)] <= 0.0]:
            run = strategy({name: values[row] for name, values in columns.items()}, view)
            plain = run.metrics()
            for name in names:
                metrics[name][row] = plain[name]
            if request is not None and place[row] >= 0:
                sums[place[row]] = sums_of(run.returns, request.benchmark, request.ends)
    return metrics, sums


def _sizes(whole_history: bool, n_configs: int, n_symbols: int, tiles: int) -> tuple[int, int]:
    """Returns how many configs and how many tiles to process at once."""
    if whole_history:
        return max(WIDTH, MOST_WORDS // (tiles * n_symbols * WORDS) // WIDTH * WIDTH), tiles
    size = max(1, min(n_configs, MOST_CONFIGS if n_symbols <= 64 else MOST_CONFIGS // 8))
    return size, min(tiles, max(1, MOST_WORDS // (size * n_symbols * WORDS)))


def _metrics(state: FloatArray, n_bars: int, periods_per_year: float) -> dict[str, FloatArray]:
    """Returns all metrics by name, ``(n_configs,)`` each."""
    equity, _, low, *sums = state  # in the order of `from_sums`
    with np.errstate(divide="ignore", invalid="ignore"):
        given: tuple[Any, ...] = (equity, low - 1.0, *sums, n_bars, periods_per_year, _only_if)
        figures = from_sums(*given)
    return dict(zip(METRIC_NAMES, figures, strict=True))


def _only_if(condition: BoolArray, values: FloatArray) -> FloatArray:
    return np.where(condition, values, np.nan)
