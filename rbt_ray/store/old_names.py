"""Current names for metrics of older accounting rules: version 1 called `n_fills` `n_trades`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

Value = TypeVar("Value")

_OF_A_BACKTEST = frozenset(
    [
        "total_return",
        "cagr",
        "volatility",
        "sharpe",
        "sortino",
        "max_drawdown",
        "calmar",
        "turnover",
        "exposure",
        "n_trades",
        "skew",
        "kurtosis",
    ]
)
"""The metrics of accounting 1."""


def renamed(metrics: Mapping[str, Value], accounting: int) -> dict[str, Value]:
    """Returns metrics by their current names, in the same order.

    Renames only metrics of `rbt.backtest`: all names are its own, or names that only it has are present. Other backtesters
    have an `n_trades` of their own.

    Args:
        metrics: by the names they were written with.
        accounting: the version of the rules they were computed by.
    """
    is_own = _OF_A_BACKTEST.issuperset(metrics) or {"turnover", "exposure"} <= set(metrics)
    if accounting > 1 or not is_own:
        return dict(metrics)
    return {"n_fills" if name == "n_trades" else name: value for name, value in metrics.items()}


def renamed_row(row: Mapping[str, Any], accounting: int) -> dict[str, Any]:
    """Returns a row of a review with current names."""
    return {
        part: renamed(found, accounting) if isinstance(found, dict) and part != "config" else found
        for part, found in row.items()
    }
