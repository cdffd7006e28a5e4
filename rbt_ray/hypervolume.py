"""The hypervolume of trials of several metrics: the volume that they dominate, up to a reference point."""

from __future__ import annotations

import numpy as np

from rbt_ray.pareto import non_dominated
from rbt_ray.types import BoolArray, FloatArray

_BLOCK = 1024


def hypervolume(losses: FloatArray, reference: FloatArray) -> float:
    """Returns the volume of the points that a row dominates and that dominate the reference; exact.

    Args:
        losses: ``(n, n_metrics)``; rows with a NaN, and rows that are not below the reference in each loss, add nothing.
        reference: ``(n_metrics,)``.

    Source:
        While, Bradstreet and Barone (2012), "A Fast Way of Calculating Exact Hypervolumes", IEEE Transactions on Evolutionary
        Computation 16(1), 86-95.
    """
    return _volume(losses[(losses < reference).all(axis=1)], reference)


def by_evaluations(losses: FloatArray, reference: FloatArray) -> FloatArray:
    """Returns ``(n,)`` the hypervolume of the first rows up to each one.

    Args:
        losses: ``(n, n_metrics)``, as for `hypervolume`.
        reference: ``(n_metrics,)``.
    """
    gained = np.zeros(len(losses))
    front = np.empty((0, losses.shape[1]))
    for start in range(0, len(losses), _BLOCK):
        block = losses[start : start + _BLOCK]
        new = (block < reference).all(axis=1)
        new &= ~_dominated(block, front)
        for row in np.flatnonzero(new).tolist():
            point = block[row]
            if not (front <= point).all(axis=1).any():
                gained[start + row] = _exclusive(point, front, reference)
                front = np.concatenate([front[~(point <= front).all(axis=1)], point[None]])
    total: FloatArray = np.cumsum(gained)
    return total


def _volume(points: FloatArray, reference: FloatArray) -> float:
    points = np.unique(points[non_dominated(points)], axis=0)  # ascending by the first loss
    if len(reference) == 2:
        heights = np.append(reference[1], points[:-1, 1]) - points[:, 1]
        return float(((reference[0] - points[:, 0]) * heights).sum())
    # Begin with the largest losses, as their limited sets are the smallest.
    points = points[::-1]
    return sum(_exclusive(point, points[row + 1 :], reference) for row, point in enumerate(points))


def _dominated(points: FloatArray, front: FloatArray) -> BoolArray:
    found: BoolArray = np.logical_or.reduce((front[None] <= points[:, None]).all(axis=2), axis=1)
    return found


def _exclusive(point: FloatArray, others: FloatArray, reference: FloatArray) -> float:
    """Returns the volume that a point dominates and no other one does."""
    own = float(np.prod(reference - point))
    return own - _volume(np.maximum(others, point), reference) if len(others) else own
