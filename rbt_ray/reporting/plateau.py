"""The plateau around the best cell of a heat map."""

from __future__ import annotations

import numpy as np

from rbt_ray.types import BoolArray, FloatArray


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
