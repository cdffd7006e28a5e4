"""Trials of several metrics: dominance, Pareto fronts, an order of trials by them, and the hypervolume.

A row dominates another one if it is nowhere worse and somewhere better. Losses are minimized, and equal rows do not dominate
each other. The hypervolume of rows is the volume that they dominate, up to a reference point.
"""

from __future__ import annotations

import numpy as np

from rbt_ray.types import BoolArray, FloatArray, IntArray

_BLOCK = 1024


def non_dominated(losses: FloatArray) -> BoolArray:
    """Returns ``(n,)`` which rows no other row dominates; False for a row with a NaN.

    Args:
        losses: ``(n, n_metrics)``.
    """
    found = np.zeros(len(losses), dtype=bool)
    rows = np.flatnonzero(~np.isnan(losses).any(axis=1))
    if not len(rows):
        return found
    rows = rows[np.lexsort(losses[rows].T[::-1])]  # a row can only be dominated by one before it
    ordered = losses[rows]
    is_first = np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1))
    kept = _of_two(ordered[is_first]) if losses.shape[1] == 2 else _of_more(ordered[is_first])
    found[rows] = kept[np.cumsum(is_first) - 1]
    return found


def _of_two(ordered: FloatArray) -> BoolArray:
    """Returns which distinct rows of two losses in ascending order are not dominated: those with a new least second loss."""
    least_before = np.append(np.inf, np.minimum.accumulate(ordered[:, 1])[:-1])
    kept: BoolArray = ordered[:, 1] < least_before
    kept[0] = True  # its second loss may be inf
    return kept


def _of_more(ordered: FloatArray) -> BoolArray:
    """Returns which distinct rows in ascending order are not dominated."""
    kept = np.zeros(len(ordered), dtype=bool)
    left = np.arange(len(ordered))
    while len(left):
        kept[left[0]] = True
        behind = (ordered[left] >= ordered[left[0]]).all(axis=1)  # the row itself too
        left = left[~behind]
    return kept


def fronts(losses: FloatArray, n: int | None = None) -> IntArray:
    """Returns ``(n_rows,)`` the front of each row: 0 if no row dominates it, 1 if only rows of front 0 do, and so on.

    Rows with a NaN are in the last front.

    Args:
        losses: ``(n_rows, n_metrics)``.
        n: how many rows need their own front; rows that come after them share one. None: all.

    Source:
        Goldberg (1989), "Genetic Algorithms in Search, Optimization and Machine Learning", nondominated sorting.
    """
    found = np.zeros(len(losses), dtype=np.int64)
    left = np.arange(len(losses))
    wanted = len(losses) if n is None else min(n, len(losses))
    front = 0
    while len(losses) - len(left) < wanted:
        kept = non_dominated(losses[left])
        if not kept.any():
            break
        found[left[kept]] = front
        left = left[~kept]
        front += 1
    found[left] = front
    return found


def best_first(losses: FloatArray, n: int | None = None) -> IntArray:
    """Returns the rows by front, and within a front those in empty regions first; equal ones in their order.

    Args:
        losses: ``(n_rows, n_metrics)``, without NaN.
        n: how many rows to return; None: all.

    Source:
        Deb, Pratap, Agarwal and Meyarivan (2002), "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II", IEEE
        Transactions on Evolutionary Computation 6(2), 182-197.
    """
    wanted = len(losses) if n is None else min(n, len(losses))
    front = fronts(losses, wanted)
    found: list[IntArray] = []
    for number in range(int(front.max(initial=-1)) + 1):
        if sum(map(len, found)) >= wanted:
            break
        rows = np.flatnonzero(front == number)
        found.append(rows[np.argsort(-crowding_distance(losses[rows]), kind="stable")])
    return np.concatenate(found)[:wanted] if found else np.empty(0, np.int64)


def crowding_distance(losses: FloatArray) -> FloatArray:
    """Returns ``(n,)`` how far apart the neighbours of each row of a front are; inf for the least and the largest loss.

    Of equal rows, all but the first have distance 0: they add nothing to a front.

    Args:
        losses: ``(n, n_metrics)``.

    Source:
        Deb et al. (2002), section III-B.
    """
    distinct, first = np.unique(losses, axis=0, return_index=True)
    among = np.zeros(len(distinct))
    for column in distinct.T:
        order = np.argsort(column, kind="stable")
        ascending = column[order]
        width = ascending[-1] - ascending[0] if len(ascending) else 0.0
        among[order[[0, -1]]] = np.inf
        if width > 0 and np.isfinite(width):
            among[order[1:-1]] += (ascending[2:] - ascending[:-2]) / width
    found = np.zeros(len(losses))
    found[first] = among
    return found


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
