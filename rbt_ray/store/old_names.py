"""Metrics under today's names: accounting 1 called `n_trades` what is called `n_fills` since."""

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
    """Metrics by name, in the same order.

    Only those of our own backtests are renamed: all names are theirs, or those beside `n_trades` that only they have
    are there too. Other backtesters' figures have an `n_trades` of their own.

    Args:
        metrics: by the names they were written with.
        accounting: the version they were written by.
    """
    ours = _OF_A_BACKTEST.issuperset(metrics) or {"turnover", "exposure"} <= set(metrics)
    if accounting > 1 or not ours:
        return dict(metrics)
    return {"n_fills" if name == "n_trades" else name: value for name, value in metrics.items()}


def renamed_row(row: Mapping[str, Any], accounting: int) -> dict[str, Any]:
    """The same for what a second look found."""
    return {
        part: renamed(found, accounting) if isinstance(found, dict) and part != "config" else found
        for part, found in row.items()
    }
