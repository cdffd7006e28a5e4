"""Heat maps of the metric over pairs of parameters, and a line chart for a space with one parameter.

A heat map outlines the plateau around its best cell.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from rbt_ray.reporting.axes import MOST_CELLS, Axis
from rbt_ray.reporting.text import json_values, label
from rbt_ray.reporting.theme import BEST, EMPTY, INK, Figure, Scale, axis, layout, scale_of
from rbt_ray.types import BoolArray, FloatArray, Mode

MOST_PARAMETERS = 6


def best_per_cell(cells: Sequence[Axis], goodness: FloatArray) -> FloatArray:
    """Returns the highest goodness in each cell over all other parameters; NaN in cells without a trial.

    Args:
        cells: one axis, or two with the rows' axis first.
        goodness: ``(n,)`` finite, higher is better.

    Returns:
        an array with one dimension per axis.
    """
    shape = tuple(len(one.labels) for one in cells)
    grid = np.full(shape, -np.inf)
    np.maximum.at(grid, tuple(one.cell for one in cells), goodness)
    return np.where(np.isinf(grid), np.nan, grid)


def scale_of_pairs(axes: Sequence[Axis], goodness: FloatArray) -> Scale:
    """Returns one colour scale for the heat maps of all pairs."""
    grids = [best_per_cell([y, x], goodness) for x, y in itertools.combinations(axes, 2)]
    return scale_of(np.concatenate([grid.ravel() for grid in grids]))


def heat_maps(axes: Sequence[Axis], goodness: FloatArray, colours: Scale, metric: str, mode: Mode) -> dict[str, Figure]:
    """Returns a heat map for each pair of axes, by the pair's name.

    Args:
        axes: at least two.
        goodness: ``(n,)`` the metric, negated for `mode="min"`; finite.
        colours: the colour scale for goodness.
        metric: its name.
        mode: the sign of the metric.
    """
    pairs = itertools.combinations(axes, 2)
    return {f"{x.name} × {y.name}": _heat_map(x, y, goodness, colours, metric, mode) for x, y in pairs}


def profile(x: Axis, goodness: FloatArray, metric: str, mode: Mode) -> Figure:
    """Returns a line chart of the best metric at each value of one parameter."""
    best = int(np.argmax(goodness))
    heights = best_per_cell([x], goodness)
    sign = 1.0 if mode == "max" else -1.0
    line = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": list(x.labels),
        "y": json_values(sign * heights),
        "line": {"color": BEST, "width": 1.5},
        "marker": {"size": 5},
        "hovertemplate": f"{label(x.name)} %{{x}}<br>{label(metric)} %{{y:.4g}}<extra></extra>",
    }
    bounds = layout(380, xaxis=_categories(x), yaxis=axis(label(metric)))
    return {"data": [line, _mark(x.labels[x.cell[best]], sign * float(goodness[best]), metric)], "layout": bounds}


def _heat_map(x: Axis, y: Axis, goodness: FloatArray, colours: Scale, metric: str, mode: Mode) -> Figure:
    grid = best_per_cell([y, x], goodness)
    best = int(np.argmax(goodness))
    up = mode == "max"
    heat = {
        "type": "heatmap",
        "x": list(x.labels),
        "y": list(y.labels),
        "z": [json_values(row if up else -row) for row in grid],
        "zmin": colours.low if up else -colours.high,
        "zmax": colours.high if up else -colours.low,
        "colorscale": colours.stops,
        "reversescale": not up,
        "xgap": 1 if len(x.labels) <= MOST_CELLS / 2 else 0,
        "ygap": 1 if len(y.labels) <= MOST_CELLS / 2 else 0,
        "hoverongaps": False,
        "colorbar": {"title": {"text": label(metric), "side": "right"}, "thickness": 14, "outlinewidth": 0, "len": 1},
        "hovertemplate": f"{label(x.name)} %{{x}}<br>{label(y.name)} %{{y}}<br>best {label(metric)} %{{z:.4g}}<extra></extra>",
    }
    plateau = {"type": "path", "path": outline(plateau_of(grid)), "line": {"color": INK, "width": 1.5}}
    bounds = layout(520, xaxis=_categories(x), yaxis=_categories(y), plot_bgcolor=EMPTY, shapes=[plateau])
    mark = _mark(x.labels[x.cell[best]], y.labels[y.cell[best]], metric)
    return {"data": [heat, mark], "layout": bounds}


def _categories(one: Axis) -> Figure:
    return axis(
        label(one.name),
        type="category",
        categoryorder="array",
        categoryarray=list(one.labels),
        range=[-0.5, len(one.labels) - 0.5],
        showgrid=False,
        nticks=16,
        tickangle="auto",
    )


def _mark(x: str, y: str | float, metric: str) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [x],
        "y": [y],
        "marker": {"symbol": "star", "size": 15, "color": "#ffd54a", "line": {"color": INK, "width": 1.2}},
        "hovertemplate": f"the best {label(metric)}<extra></extra>",
        "hoverinfo": "skip" if isinstance(y, str) else "all",
    }


def plateau_of(grid: FloatArray) -> BoolArray:
    """Returns which cells belong to the plateau: connected with the best one, and at least halfway up to it from the median.

    Args:
        grid: ``(n_rows, n_columns)`` goodness, NaN in cells without a trial; not all are NaN.
    """
    best = np.nanmax(grid)
    median = float(np.nanmedian(grid))
    is_high = grid >= median + (best - median) / 2  # NaN is not
    at = np.unravel_index(int(np.nanargmax(grid)), grid.shape)
    reached, waiting = np.zeros(grid.shape, bool), [(int(at[0]), int(at[1]))]
    while waiting:
        row, column = waiting.pop()
        if reached[row, column]:
            continue
        reached[row, column] = True
        for y, x in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if 0 <= y < grid.shape[0] and 0 <= x < grid.shape[1] and is_high[y, x]:
                waiting.append((y, x))
    return reached


def outline(cells: BoolArray) -> str:
    """Returns the edges of a region as an SVG path; a cell is one unit wide, and the first has its centre at 0."""
    padded = np.pad(cells, 1)
    parts = []
    for row, column in zip(*np.nonzero(padded[1:] != padded[:-1]), strict=True):
        y, x = row - 0.5, column - 1.5
        parts.append(f"M{x:g},{y:g}L{x + 1:g},{y:g}")
    for row, column in zip(*np.nonzero(padded[:, 1:] != padded[:, :-1]), strict=True):
        y, x = row - 1.5, column - 0.5
        parts.append(f"M{x:g},{y:g}L{x:g},{y + 1:g}")
    return "".join(parts)
