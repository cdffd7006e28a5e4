"""Long while a fast moving average of the closes is above a slow one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from rbt_ray.objectives.builtin.strategy import MARGIN, USUAL, Parameter, Strategy, bars
from rbt_ray.types import BoolArray, Config, Execution, FloatArray, IntArray, Rebalance

if TYPE_CHECKING:
    from rbt_ray.data.view import BundleView
    from rbt_ray.objectives.sweep.run import Signals


def sma_cross(
    turnover_bps: float = 5.0,
    execution: Execution | None = None,
    metrics: tuple[str, ...] = USUAL,
    rebalance: Rebalance = "on_change",
) -> SmaCross:
    """Returns the moving-average crossover, with parameters `fast` and `slow` (bars, at least 1).

    A symbol is held while `sma(close, fast) > sma(close, slow) * (1 + 1e-9)`.

    Args:
        turnover_bps: cost per unit of turnover, in basis points.
        execution: when orders are filled; None: at the next open if the bundle has opens, else at the next close.
        metrics: the metrics that a sweep computes.
        rebalance: ``"every_bar"`` resets weights on every bar, ``"on_change"`` orders when a position changes.

    Source:
        Brock, Lakonishok, LeBaron (1992), "Simple Technical Trading Rules and the Stochastic Properties of Stock
        Returns", Journal of Finance 47(5), 1731-1764.
    """
    return SmaCross(turnover_bps, execution, metrics, rebalance)


@dataclass(frozen=True, slots=True)
class SmaCross(Strategy):
    """See `sma_cross`."""

    name: ClassVar[str] = "sma_cross"
    parameters: ClassVar[tuple[Parameter, ...]] = (bars("fast"), bars("slow"))
    example: ClassVar[Mapping[str, float]] = {"fast": 20, "slow": 100}

    def warmup(self, params: Config) -> int:
        """Returns the longer window."""
        return int(max(params["fast"], params["slow"]))

    def long(self, params: Mapping[str, float], data: BundleView) -> BoolArray:
        """Returns where the fast average is above the slow one."""
        fast, slow = (data.sma("close", int(min(params[name], data.n_bars + 1))) for name in self.params)
        above: BoolArray = fast > slow * (1.0 + MARGIN)
        return above

    def order(self, columns: Mapping[str, FloatArray]) -> IntArray:
        """Sorts by the window with more distinct values, so that the averages of the other one stay in the cache."""
        fast, slow = columns["fast"], columns["slow"]
        return np.lexsort([fast, slow] if len(np.unique(slow)) >= len(np.unique(fast)) else [slow, fast])

    def signals(self, data: BundleView, columns: Mapping[str, FloatArray]) -> Signals:
        """Compares averages that are computed once per tile for all configs."""
        from rbt_ray.objectives.sweep.crossing import crossings
        from rbt_ray.objectives.sweep.layout import TILE, aligned, running_sums

        sums, numbers, starts, there = data.memo(running_sums)
        # All windows longer than the data give the same result: they are never full.
        windows = {name: np.minimum(values, data.n_bars + 1).astype(np.int64) for name, values in columns.items()}
        fast, fast_of = np.unique(windows["fast"], return_inverse=True)
        slow, slow_of = np.unique(windows["slow"], return_inverse=True)
        scales = np.concatenate([np.ones(len(fast)), np.full(len(slow), 1.0 + MARGIN)])
        both, slow_of = np.concatenate([fast, slow]), slow_of + len(fast)
        averages = aligned(len(both) * TILE)

        def write(first: int, tiles: int, n_rows: int, words: NDArray[np.uint64]) -> None:
            crossings(
                sums, numbers, starts, there, both, scales, fast_of, slow_of, data.n_symbols, first, tiles, n_rows,
                averages, words,
            )  # fmt: skip

        return write
