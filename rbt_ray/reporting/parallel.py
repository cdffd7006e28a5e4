"""Parallel coordinates: one line per trial through its parameters and its metric."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rbt_ray.reporting.axes import OFF, Axis
from rbt_ray.reporting.text import format_value, json_values, label, shortened
from rbt_ray.reporting.theme import FONT, INK, MUTED, Figure, layout, scale_of
from rbt_ray.types import FloatArray, IntArray, Mode

MOST_BEST, MOST_OTHERS = 500, 500
MOST_AXES = 12
_MOST_TICKS = 24
_LONGEST_NAME = 18


def select_lines(goodness: FloatArray) -> IntArray:
    """Returns the rows of the best trials and of others evenly spaced by rank, with the best last to draw them on top."""
    order = np.argsort(-goodness, kind="stable")
    best, rest = order[:MOST_BEST], order[MOST_BEST:]
    if len(rest) > MOST_OTHERS:
        rest = rest[np.linspace(0, len(rest) - 1, MOST_OTHERS).round().astype(np.int64)]
    rows: IntArray = np.concatenate([best, rest])[::-1]
    return rows


def parallel(axes: Sequence[Axis], goodness: FloatArray, metric: str, mode: Mode) -> Figure:
    """Returns a figure with one line per trial, coloured by the metric.

    Args:
        axes: the parameters.
        goodness: ``(n,)`` the metric, negated for `mode="min"`; finite.
        metric: its name.
        mode: the sign of the metric.
    """
    rows = select_lines(goodness)
    colours = scale_of(goodness[rows])
    values = goodness[rows] if mode == "max" else -goodness[rows]
    dimensions = [_dimension(one, rows) for one in axes]
    dimensions.append({"label": label(metric, _LONGEST_NAME), "values": json_values(values)})
    lines = {
        "type": "parcoords",
        "dimensions": dimensions,
        "line": {
            "color": json_values(goodness[rows]),
            "cmin": colours.low,
            "cmax": colours.high,
            "colorscale": colours.lines,
        },
        "labelfont": {"family": FONT, "size": 12, "color": INK},
        "tickfont": {"family": FONT, "size": 11, "color": INK},
        "rangefont": {"family": FONT, "size": 10, "color": MUTED},
        "labelside": "top",
    }
    figure = layout(440)
    figure["margin"] = {"l": 132, "r": 70, "t": 56, "b": 28}
    return {"data": [lines], "layout": figure}


def _dimension(one: Axis, rows: IntArray) -> Figure:
    position = one.position[rows]
    off = np.isnan(position)
    there = position[~off]
    if one.options:
        used = np.unique(there).astype(np.int64).tolist()
        # plotly does not parse HTML in these texts
        ticks = [(float(i), shortened(one.options[i], _LONGEST_NAME)) for i in _thinned(used)]
    elif one.log:
        position, there = np.log10(position), np.log10(there)
        ticks = _log_ticks(float(there.min()), float(there.max())) if len(there) else []
    else:
        ticks = []
    dimension: Figure = {"label": label(one.name, _LONGEST_NAME), "values": json_values(position)}
    if off.any():
        low, high = (float(there.min()), float(there.max())) if len(there) else (0.0, 1.0)
        below = low - 0.12 * ((high - low) or 1.0)
        dimension["values"] = json_values(np.where(off, below, position))
        ticks = [(below, OFF), *(ticks or [(v, format_value(v)) for v in _plain_ticks(low, high)])]
    if ticks:
        dimension["tickvals"] = [value for value, _ in ticks]
        dimension["ticktext"] = [text for _, text in ticks]
    return dimension


def _thinned(positions: list[int]) -> list[int]:
    return positions[:: -(-len(positions) // _MOST_TICKS)]


def _log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    decades = [(float(k), f"{10.0**k:g}") for k in range(math.ceil(low), math.floor(high) + 1)]
    if len(decades) >= 2:
        return decades[:: -(-len(decades) // _MOST_TICKS)]
    return [(v, f"{10.0**v:.3g}") for v in np.linspace(low, high, 5).tolist()]


def _plain_ticks(low: float, high: float) -> list[float]:
    whole = low == round(low) and high == round(high)
    ticks = np.linspace(low, high, 6)
    return [float(round(v)) if whole else float(f"{v:.4g}") for v in ticks.tolist()]
