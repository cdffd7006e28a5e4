"""A batch of configs of a built-in objective: from columns of parameters to columns of metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rbt_ray.objectives.sweep.accounts import new_state, open_account
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
from rbt_ray.simulate.metrics import CONSTANT
from rbt_ray.types import FloatArray

if TYPE_CHECKING:
    from rbt_ray.data.view import BundleView
    from rbt_ray.objectives.builtin.strategy import Strategy

Columns: TypeAlias = Mapping[str, FloatArray]
"""Parameters ``(n_configs,)`` by name."""
Signals: TypeAlias = Callable[[int, int, int, NDArray[np.uint64]], None]
"""Writes the positions of `tiles` tiles from `first` on into ``(tiles, n_rows, n_symbols, 2)`` words, given in the
order `first, tiles, n_rows, words`."""

MOST_WORDS = 2**17
"""Words of positions worked on at once: 1 MB, which stays in the second-level cache."""
MOST_CONFIGS = 8192
"""Configs worked on at once where a piece may be a few tiles: the more, the more of them share an indicator."""
MOMENTS = frozenset({"sortino", "skew", "kurtosis"})
"""Metrics that need more than mean and squares: a tenth more time, so only when asked for."""


def sweep(strategy: Strategy, view: BundleView, columns: Columns, names: tuple[str, ...]) -> dict[str, FloatArray]:
    """Metrics ``(n_configs,)`` by name; of parameters that have been checked.

    Configs are taken in an order in which neighbours share what they need, a few thousand at a time, so that memory
    does not grow with their number. Neither changes a figure.
    """
    execution = strategy.fills(view)
    cost = strategy.turnover_bps / BASIS_POINTS
    n_bars, n_symbols, tiles = view.n_bars, view.n_symbols, n_tiles(view.n_bars)
    moments = not MOMENTS.isdisjoint(names)

    order = strategy.order(columns)
    size, step = _sizes(strategy.whole_history, len(order), n_symbols, tiles)
    metrics = {name: np.empty(len(order)) for name in names}
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        n_rows = -(-len(rows) // WIDTH) * WIDTH
        signals = strategy.signals(view, {name: values[rows] for name, values in columns.items()})
        words = np.zeros(step * n_rows * n_symbols * WORDS, np.uint64)
        state = new_state(n_rows)
        advance = open_account(view, execution, strategy.rebalance, cost, moments, state)
        for first in range(0, tiles, step):
            now = min(step, tiles - first)
            signals(first, now, n_rows, words)
            advance(first, now, words)
        figures = _metrics(state.reshape(len(STATE), n_rows)[:, : len(rows)], n_bars, view.periods_per_year)
        for name in names:
            metrics[name][rows] = figures[name]
        # A run that lost everything ends there, which the streaming sums know nothing of.
        for row in rows[state[LOW * n_rows : LOW * n_rows + len(rows)] <= 0.0]:
            plain = strategy({name: values[row] for name, values in columns.items()}, view).metrics()
            for name in names:
                metrics[name][row] = plain[name]
    return metrics


def _sizes(whole_history: bool, n_configs: int, n_symbols: int, tiles: int) -> tuple[int, int]:
    """How many configs and how many tiles to work on at once."""
    if whole_history:
        return max(WIDTH, MOST_WORDS // (tiles * n_symbols * WORDS) // WIDTH * WIDTH), tiles
    size = max(1, min(n_configs, MOST_CONFIGS if n_symbols <= 64 else MOST_CONFIGS // 8))
    return size, min(tiles, max(1, MOST_WORDS // (size * n_symbols * WORDS)))


def _metrics(state: FloatArray, n_bars: int, periods_per_year: float) -> dict[str, FloatArray]:
    """The thirteen metrics as `rbt_ray.simulate.metrics` defines them, ``(n_configs,)`` each."""
    mean, squares = state[MEAN], state[SQUARES]
    year = np.sqrt(periods_per_year)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = squares / (n_bars - 1) if n_bars > 1 else np.full_like(mean, np.nan)
        varies = variance > CONSTANT * mean * mean
        moment = np.where(varies, squares / n_bars, np.nan)
        downside = state[DOWNSIDE] / n_bars
        drawdown = state[LOW] - 1.0
        cagr = state[EQUITY] ** (periods_per_year / n_bars) - 1.0
        return {
            "total_return": state[EQUITY] - 1.0,
            "cagr": cagr,
            "volatility": np.sqrt(variance) * year,
            "sharpe": mean / np.sqrt(np.where(varies, variance, np.nan)) * year,
            "sortino": mean / np.sqrt(np.where(downside > 0.0, downside, np.nan)) * year,
            "max_drawdown": drawdown,
            "calmar": cagr / np.where(drawdown < 0.0, -drawdown, np.nan),
            "turnover": state[TRADED] / n_bars * periods_per_year,
            "exposure": state[HELD] / n_bars,
            "n_fills": state[FILLS].copy(),
            "n_trades": state[TRIPS].copy(),
            "skew": state[CUBES] / n_bars / moment**1.5,
            "kurtosis": state[FOURTHS] / n_bars / moment**2,
        }
