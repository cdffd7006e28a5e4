"""Fewer points that look the same: in every stretch of a curve its lowest and its highest stay."""

from __future__ import annotations

import numpy as np

from rbt_ray.types import FloatArray, IntArray


def downsample(values: FloatArray, most: int) -> IntArray:
    """Positions of at most `most` of the values, ascending: the first, the last, and each stretch's extremes.

    Args:
        values: ``(n,)`` finite, in the order they are drawn.
        most: at least 4; where there are no more values than this all of them stay.
    """
    n = len(values)
    if n <= most:
        return np.arange(n)
    stretch = np.arange(n) * ((most - 2) // 2) // n
    order = np.lexsort((values, stretch))
    begins = np.flatnonzero(np.diff(stretch, prepend=-1))
    ends = np.append(begins[1:], n) - 1
    return np.unique(np.concatenate([[0, n - 1], order[begins], order[ends]]))
