"""The best trial's figures beside those of buy-and-hold over the same bars, as HTML."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from rbt_ray.reporting.best_trials import format_metric
from rbt_ray.reporting.text import exact_json, scrolling
from rbt_ray.simulate.metrics import METRICS, from_sums
from rbt_ray.types import FloatArray

_SHOWN = ("total_return", "cagr", "volatility", "sharpe", "max_drawdown", "calmar")
_SHARES = frozenset(metric.name for metric in METRICS if metric.unit == "share")


def beside_holding(curves: Mapping[str, FloatArray], train_bars: int, periods_per_year: float) -> str:
    """Returns a table of both, in-sample and on the hold-out; empty without the curve of buy-and-hold.

    Args:
        curves: ``time_ms``, ``equity`` and optionally ``buy_and_hold``; ``(n_bars,)`` each.
        train_bars: the first bar of the hold-out.
        periods_per_year: bars a year.
    """
    if "buy_and_hold" not in curves:
        return ""
    n_bars = len(curves["equity"])
    spans = {"in-sample": slice(0, train_bars), "hold-out": slice(train_bars, n_bars)}
    columns = {
        (when, who): figures(curves[name], span, periods_per_year)
        for when, span in spans.items()
        if len(range(n_bars)[span]) > 1
        for who, name in (("best", "equity"), ("holding", "buy_and_hold"))
    }
    head = "".join(f'<th scope="col">{who}<br><small>{when}</small></th>' for when, who in columns)
    rows = []
    for name in _SHOWN:
        cells = "".join(
            f'<td data-cell="{when}/{who}/{name}" data-value="{exact_json(found[name])}">{format_metric(name, found[name], _SHARES)}</td>'
            for (when, who), found in columns.items()
        )
        rows.append(f'<tr><th scope="row">{name}</th>{cells}</tr>')
    table = f'<table id="holding" class="plain"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return scrolling(table, "The best trial and buy-and-hold")


def figures(wealth: FloatArray, span: slice, periods_per_year: float) -> dict[str, float]:
    """Returns the metrics of returns over some bars of a curve of wealth, whose capital before the first bar is 1.

    Args:
        wealth: ``(n_bars,)``.
        span: at least two bars.
        periods_per_year: bars a year.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        returns = (wealth / np.append(1.0, wealth[:-1]) - 1.0)[span]
        equity = np.cumprod(1.0 + returns)
        drawdown = float((equity / np.maximum.accumulate(np.maximum(equity, 1.0)) - 1.0).min())
        mean = float(returns.mean())
        squares = float(((returns - mean) ** 2).sum())
        downside = float((np.minimum(returns, 0.0) ** 2).sum())
        unknown = math.nan
        values = from_sums(
            float(equity[-1]), drawdown, mean, squares, unknown, unknown, downside, unknown, unknown, unknown, unknown,
            len(returns), periods_per_year, lambda condition, value: value if condition else unknown, moments=False,
        )  # fmt: skip
    return {metric.name: float(value) for metric, value in zip(METRICS, values, strict=True)}
