"""The best trial's wealth over time, compared with holding an equal share of every symbol."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rbt_ray.reporting.text import json_values
from rbt_ray.reporting.theme import BEST, HOLDOUT, HOLDOUT_INK, OTHER, Figure, axis, clip_for_plot, downsample, layout
from rbt_ray.types import FloatArray

MOST_POINTS = 2_000
_LOG_FROM = 8.0
_CURVES = (("equity", "the best trial", BEST, 1.8), ("buy_and_hold", "equal-weight buy-and-hold", OTHER, 1.4))


def drawdown(equity: FloatArray) -> FloatArray:
    """Returns ``(n_bars,)`` equity / max(1, highest equity so far) - 1, which is zero or negative."""
    return equity / np.maximum.accumulate(np.maximum(equity, 1.0)) - 1.0


def equity_and_drawdown(curves: Mapping[str, FloatArray], train_bars: int) -> Figure:
    """Returns a figure with wealth above drawdown, with the hold-out shaded.

    Args:
        curves: ``time_ms``, ``equity`` and optionally ``buy_and_hold``; ``(n_bars,)`` each.
        train_bars: the first bar of the hold-out.
    """
    curves = {name: clip_for_plot(curve) for name, curve in curves.items()}
    time_ms = curves["time_ms"]
    there = [entry for entry in _CURVES if entry[0] in curves]
    traces = []
    for name, title, colour, width in there:
        for values, panel, shape in ((curves[name], "y", ".4f"), (drawdown(curves[name]), "y2", ".1%")):
            rows = np.flatnonzero(np.isfinite(values))
            rows = rows[downsample(values[rows], MOST_POINTS)]
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": title,
                    "legendgroup": name,
                    "showlegend": panel == "y",
                    "x": json_values(time_ms[rows]),
                    "y": json_values(values[rows]),
                    "yaxis": panel,
                    "line": {"color": colour, "width": width if panel == "y" else 1.1},
                    "hovertemplate": f"%{{x|%Y-%m-%d}}  %{{y:{shape}}}<extra>{title}</extra>",
                }
            )
    wealth = np.concatenate([curves[entry[0]] for entry in there])
    log = bool((wealth > 0).all() and wealth.max() / wealth.min() > _LOG_FROM)
    upper = axis("wealth, start = 1" + (" (log)" if log else ""), domain=[0.34, 1], type="log" if log else "linear")
    if log:
        upper.update(dtick="D2", tickformat="~g")
    figure = layout(
        520,
        xaxis=axis(type="date", anchor="y2", showgrid=False),
        yaxis=upper,
        yaxis2=axis("drawdown", domain=[0, 0.27], tickformat=".0%", nticks=5),
        showlegend=True,
    )
    figure["margin"]["t"] = 44
    if train_bars < len(time_ms):
        figure["shapes"], figure["annotations"] = _shaded(float(time_ms[train_bars]), float(time_ms[-1]))
    return {"data": traces, "layout": figure}


def _shaded(begin: float, end: float) -> tuple[list[Figure], list[Figure]]:
    across = {"xref": "x", "yref": "paper", "y0": 0, "y1": 1, "x0": begin, "layer": "below"}
    region = {"type": "rect", **across, "x1": end, "fillcolor": HOLDOUT, "line": {"width": 0}}
    border = {"type": "line", **across, "x1": begin, "line": {"color": HOLDOUT_INK, "width": 1, "dash": "dot"}}
    place = {"xref": "x", "yref": "paper", "x": begin, "y": 1, "yanchor": "top", "showarrow": False}
    inside = {"text": "hold-out", "xanchor": "left", "font": {"color": HOLDOUT_INK, "size": 12}, "xshift": 4}
    before = {"text": "in-sample", "xanchor": "right", "font": {"color": OTHER, "size": 12}, "xshift": -4}
    return [region, border], [{**place, **inside}, {**place, **before}]
