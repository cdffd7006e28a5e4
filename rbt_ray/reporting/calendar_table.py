"""The best trial's returns by month and year, beside those of buy-and-hold, as HTML."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from rbt_ray.analysis.calendar_returns import calendar_returns
from rbt_ray.reporting.text import scrolling
from rbt_ray.types import FloatArray

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DEEPEST = 0.10
"""A month's colour is deepest from this gain or loss on."""


def by_month_and_year(curves: Mapping[str, FloatArray], train_bars: int) -> str:
    """Returns a table with a row for each year.

    Args:
        curves: ``time_ms``, ``equity`` and optionally ``buy_and_hold``; ``(n_bars,)`` each.
        train_bars: the first bar of the hold-out.
    """
    time_ms = curves["time_ms"]
    best = calendar_returns(time_ms, curves["equity"])
    holding = calendar_returns(time_ms, curves["buy_and_hold"]).totals if "buy_and_hold" in curves else None
    unseen = math.inf if train_bars >= len(time_ms) else _month(time_ms[train_bars])
    last = _month(time_ms[-1])
    heads = (*_MONTHS, "year", *(() if holding is None else ("holding",)))
    head = "".join(f'<th scope="col">{name}</th>' for name in ("", *heads))
    rows = []
    for i, year in enumerate(best.years.tolist()):
        cells = [
            _cell(value, "unseen" if unseen <= 12 * (year - 1970) + month <= last else "", shaded=True)
            for month, value in enumerate(best.months[i].tolist())
        ]
        cells.append(_cell(float(best.totals[i]), "main"))
        if holding is not None:
            cells.append(_cell(float(holding[i]), ""))
        rows.append(f'<tr><th scope="row">{year}</th>{"".join(cells)}</tr>')
    table = f'<table id="calendar"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return scrolling(table, "Returns by month and year")


def _month(time_ms: float) -> int:
    """Returns the number of months since 1970 of a time."""
    return int(np.float64(time_ms).astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64))


def _cell(value: float, kind: str, *, shaded: bool = False) -> str:
    if not math.isfinite(value):
        return f'<td class="{kind}">–</td>'
    shade = ""
    if shaded:
        colour = "var(--gain)" if value > 0 else "var(--loss)"
        depth = round(60 * min(abs(value) / _DEEPEST, 1.0))
        shade = f' style="background: color-mix(in srgb, {colour} {depth}%, transparent)"'
    return f'<td class="{kind}" data-value="{value!r}"{shade}>{value:.1%}</td>'
