"""Selects the kernel that computes statistics from positions, by the accounting and by whether bars are missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rbt_ray.objectives.sweep.layout import (
    TILE,
    WIDTH,
    WORDS,
    aligned,
    has_holes,
    listing_ends,
    price_tables,
    return_steps,
    return_tables,
)
from rbt_ray.objectives.sweep.statistics_table import Statistics
from rbt_ray.simulate.costs import INITIAL_CASH
from rbt_ray.types import Execution, Rebalance

if TYPE_CHECKING:
    from rbt_ray.data.view import BundleView

Advance: TypeAlias = Callable[[int, int, NDArray[np.uint64]], None]
"""Advances the statistics over `tiles` tiles from `first` on; called as `advance(first, tiles, words)`, from the first tile on."""


def open_account(
    view: BundleView, execution: Execution, rebalance: Rebalance, cost: float, statistics: Statistics
) -> Advance:
    """Returns a function that advances statistics by the given accounting.

    Args:
        view: prices.
        execution: when orders are filled.
        rebalance: accounting.
        cost: cost per unit of turnover, as a fraction.
        statistics: those before the first bar; they are changed in place.
    """
    n_rows, n_bars, n_symbols = statistics.n_rows, view.n_bars, view.n_symbols
    moments, state, segments = statistics.moments, statistics.state, statistics.segments
    lag = 0 if execution == "close" else 1
    buffer = aligned(3 * WIDTH * TILE)
    targets = np.zeros(2 * n_rows // WIDTH * n_symbols, np.uint8)
    listings = view.memo(listing_ends, execution)

    kernel_of: Callable[[bool], Callable[..., None]]
    own: tuple[Any, ...]
    if rebalance == "on_change":
        from rbt_ray.objectives.sweep.drifting import drift as kernel_of

        book = aligned((n_symbols + 2) * n_rows)
        book[n_symbols * n_rows :] = INITIAL_CASH  # the same capital as a backtest, so that rounding is the same
        own = (*view.memo(price_tables, execution), cost, moments, book, targets)
    elif view.memo(has_holes, execution):
        from rbt_ray.objectives.sweep.holed import reset_over_holes as kernel_of

        own = (*view.memo(return_steps, execution), cost, moments, aligned(n_symbols * n_rows), targets)
    else:
        from rbt_ray.objectives.sweep.accumulate import accumulate as kernel_of

        own = (
            *view.memo(return_tables, execution),
            cost,
            moments,
            statistics.positions,
            statistics.turnover,
            np.zeros(n_rows * n_symbols, np.uint64),
        )

    kernel = kernel_of(len(segments) > 1)

    def advance(first: int, tiles: int, words: NDArray[np.uint64]) -> None:
        table = words.reshape(-1, n_rows, n_symbols, WORDS)
        for symbol, _, decided in listings:
            tile, bit = divmod(int(decided), TILE)
            if first <= tile < first + tiles:
                table[tile - first, :, symbol, bit // 64] &= ~np.uint64(1 << bit % 64)
        kernel(words, first, tiles, n_bars, n_symbols, lag, *own, state, segments, buffer, *statistics.of_blocks)

    return advance
