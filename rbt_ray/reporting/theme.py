"""The look of all charts: colours, fonts and colour scales."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np

from rbt_ray.types import FloatArray, IntArray

Figure: TypeAlias = dict[str, Any]
"""The argument of `Plotly.newPlot`: ``{"data": [...], "layout": {...}}``."""

INK, MUTED, RULE, PAPER = "#1b2430", "#5c6775", "#e2e6eb", "#ffffff"
BEST, OTHER, WORSE = "#1d5a9e", "#8b95a1", "#b4470f"
EMPTY, ROW_BACKGROUND = "#d3d7dd", "#eef1f4"
HOLDOUT = "rgba(217, 142, 4, 0.13)"
HOLDOUT_INK = "#8a5a00"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

Stops: TypeAlias = list[list[Any]]
GOOD: Stops = [[0, "#edf3fa"], [0.35, "#a5c5e4"], [0.7, "#4486c2"], [1, "#0a3870"]]
BAD: Stops = [[0, "#8c2d04"], [0.3, "#d9763a"], [0.65, "#f3bd97"], [1, "#fdf1e8"]]
BOTH: Stops = [[0, "#8c2d04"], [0.25, "#e39058"], [0.5, "#f8f8f6"], [0.75, "#6ea6d6"], [1, "#0a3870"]]
LINES: Stops = [[0, "#d3d8de"], [0.6, "#6ea6d6"], [1, "#0a3870"]]
LINES_BOTH: Stops = [[0, "#c4560f"], [0.5, "#d3d8de"], [1, "#0a3870"]]

_FENCE = 10.0
_LARGEST = 1e300  # a chart's range needs margins and differences without overflow


@dataclass(frozen=True, slots=True)
class Scale:
    """A colour scale for goodness: the metric, negated if lower is better.

    Args:
        low: the goodness of the first colour.
        high: the goodness of the last colour.
        sign: the side of zero on which the values are.
        stops: colours from 0 to 1. Blue is on the good side of zero, orange on the bad side.
        lines: the same for lines on a white background.
        n_beyond: the number of outliers that have the colour of the end of the scale.
    """

    low: float
    high: float
    sign: Literal["good", "both", "bad"]
    stops: Stops
    lines: Stops
    n_beyond: int


def clip_for_plot(values: FloatArray) -> FloatArray:
    """Clips values to +-1e300, because a chart's range would overflow near the largest floats."""
    return np.clip(values, -_LARGEST, _LARGEST)


def frame(goodness: FloatArray) -> tuple[float, float, int]:
    """Returns a chart's range without extreme outliers on the bad side, and the number of these outliers."""
    finite = goodness[np.isfinite(goodness)]
    if not len(finite):
        return 0.0, 1.0, 0
    lowest, q25, q75, highest = np.quantile(finite, [0.0, 0.25, 0.75, 1.0]).tolist()
    fence = q25 - _FENCE * (q75 - q25)
    if q75 == q25 or lowest >= fence:
        return lowest, highest, 0
    return float(finite[finite >= fence].min()), highest, int((finite < fence).sum())


def scale_of(goodness: FloatArray) -> Scale:
    """Returns a colour scale. If values are on both sides of zero, zero is in the middle."""
    low, high, n_beyond = frame(goodness)
    if low < 0 < high:
        most = max(-low, high)
        return Scale(-most, most, "both", BOTH, LINES_BOTH, n_beyond)
    sign: Literal["good", "bad"] = "good" if low >= 0 else "bad"
    if low == high:
        low, high = low - 0.5, high + 0.5
    return Scale(low, high, sign, GOOD if sign == "good" else BAD, LINES, n_beyond)


def layout(height: int, **more: Any) -> dict[str, Any]:
    """Returns a chart's layout: the common settings and `more`."""
    return {
        "height": height,
        "autosize": True,
        "font": {"family": FONT, "size": 12, "color": INK},
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "margin": {"l": 70, "r": 24, "t": 34, "b": 52},
        "hoverlabel": {"bgcolor": PAPER, "bordercolor": RULE, "font": {"family": FONT, "size": 12, "color": INK}},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "showlegend": False,
        **more,
    }


def axis(title: str = "", **more: Any) -> dict[str, Any]:
    """Returns a chart's axis: the common settings and `more`."""
    return {
        "title": {"text": title, "standoff": 10},
        "gridcolor": RULE,
        "zerolinecolor": "#c3cad3",
        "linecolor": "#c3cad3",
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": "#c3cad3",
        "automargin": True,
        **more,
    }


def downsample(values: FloatArray, most: int) -> IntArray:
    """Returns the sorted indices of at most `most` values: the first, the last, and each interval's extremes.

    Args:
        values: ``(n,)`` finite, in drawing order.
        most: at least 4; if there are no more values than this, all indices are returned.
    """
    n = len(values)
    if n <= most:
        return np.arange(n)
    n_intervals = (most - 2) // 2
    starts = [-(-n * interval // n_intervals) for interval in range(n_intervals + 1)]
    kept = [0, n - 1]
    for start, stop in pairwise(starts):  # in blocks: a sort of all would take several times the memory of the values
        part = values[start:stop]
        kept += [start + int(np.argmin(part)), stop - 1 - int(np.argmax(part[::-1]))]
    return np.unique(kept)
