"""Scores a batch of configs of a built-in objective: columns of parameters to columns of metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rbt_ray.block_sums import N_BLOCKS, sums_of
from rbt_ray.objectives.sweep.accounts import new_state, open_account
from rbt_ray.objectives.sweep.blocks import BlockTable
from rbt_ray.objectives.sweep.layout import WIDTH, WORDS, n_tiles
from rbt_ray.objectives.sweep.statistics import (
    CUBES,
    DOWNSIDE,
    EQUITY,
    FILLS,
    FOURTHS,
    HELD,
    LOW,
    MEAN,
    SQUARES,
    STATE,
    TRADED,
    TRIPS,
)
from rbt_ray.simulate.costs import BASIS_POINTS
from rbt_ray.simulate.metrics import METRIC_NAMES, from_sums
from rbt_ray.types import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from rbt_ray.data.view import BundleView
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
MOMENTS = frozenset({"sortino", "skew", "kurtosis"})
"""Metrics that need more than mean and squares, which takes a tenth more time: computed only on request."""


def sweep(
    strategy: Strategy,
    view: BundleView,
    columns: Columns,
    names: tuple[str, ...],
    benchmark: FloatArray | None = None,
    ends: IntArray | None = None,
) -> tuple[dict[str, FloatArray], FloatArray | None]:
    """Returns metrics ``(n_configs,)`` by name, and block sums ``(n_configs, 3 * n_blocks)``; the parameters must be valid.

    Configs are sorted so that neighbours share indicators, and processed a few thousand at a time to bound the memory.
    Neither changes a figure, and neither do the block sums change a metric.

    Args:
        strategy: the objective.
        view: prices.
        columns: parameters.
        names: of the metrics.
        benchmark: ``(n_bars,)`` returns of the benchmark; None: compute no block sums, and return None for them.
        ends: ``(n_blocks,)`` the bar after the last one of each block, `n_bars` for the last; None: 16 blocks.
    """
    execution = strategy.fills(view)
    cost = strategy.turnover_bps / BASIS_POINTS
    n_bars, n_symbols, tiles = view.n_bars, view.n_symbols, n_tiles(view.n_bars)
    moments = not MOMENTS.isdisjoint(names)

    order = strategy.order(columns)
    size, step = _sizes(strategy.whole_history, len(order), n_symbols, tiles)
    metrics = {name: np.empty(len(order)) for name in names}
    sums = None if benchmark is None else np.empty((len(order), 3 * (N_BLOCKS if ends is None else len(ends))))
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        n_rows = -(-len(rows) // WIDTH) * WIDTH
        signals = strategy.signals(view, {name: values[rows] for name, values in columns.items()})
        words = np.zeros(step * n_rows * n_symbols * WORDS, np.uint64)
        state = new_state(n_rows)
        blocks = BlockTable.of(benchmark, ends, n_rows)
        advance = open_account(view, execution, strategy.rebalance, cost, moments, state, blocks)
        for first in range(0, tiles, step):
            now = min(step, tiles - first)
            signals(first, now, n_rows, words)
            advance(first, now, words)
        figures = _metrics(state.reshape(len(STATE), n_rows)[:, : len(rows)], n_bars, view.periods_per_year)
        for name in names:
            metrics[name][rows] = figures[name]
        if sums is not None:
            sums[rows] = blocks.rows(len(rows))
        # A bankrupt run ends early, which the sums do not take into account.
        for row in rows[state[LOW * n_rows : LOW * n_rows + len(rows)] <= 0.0]:
            run = strategy({name: values[row] for name, values in columns.items()}, view)
            plain = run.metrics()
            for name in names:
                metrics[name][row] = plain[name]
            if sums is not None and benchmark is not None:
                sums[row] = sums_of(run.returns, benchmark, ends)
    return metrics, sums


def _sizes(whole_history: bool, n_configs: int, n_symbols: int, tiles: int) -> tuple[int, int]:
    """Returns how many configs and how many tiles to process at once."""
    if whole_history:
        return max(WIDTH, MOST_WORDS // (tiles * n_symbols * WORDS) // WIDTH * WIDTH), tiles
    size = max(1, min(n_configs, MOST_CONFIGS if n_symbols <= 64 else MOST_CONFIGS // 8))
    return size, min(tiles, max(1, MOST_WORDS // (size * n_symbols * WORDS)))


def _metrics(state: FloatArray, n_bars: int, periods_per_year: float) -> dict[str, FloatArray]:
    """Returns all metrics by name, ``(n_configs,)`` each."""
    with np.errstate(divide="ignore", invalid="ignore"):
        figures = from_sums(
            state[EQUITY], state[LOW] - 1.0, state[MEAN], state[SQUARES], state[CUBES], state[FOURTHS], state[DOWNSIDE],
            state[TRADED], state[HELD], state[FILLS], state[TRIPS], n_bars, periods_per_year, _only_if,
        )  # fmt: skip
    return dict(zip(METRIC_NAMES, figures, strict=True))


def _only_if(condition: BoolArray, values: FloatArray) -> FloatArray:
    return np.where(condition, values, np.nan)
