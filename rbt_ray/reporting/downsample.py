"""Downsamples curves without changing their look: keeps the lowest and highest point of each interval."""

from __future__ import annotations

import numpy as np

from rbt_ray.types import FloatArray, IntArray


def downsample(values: FloatArray, most: int) -> IntArray:
    """Returns the sorted indices of at most `most` values: the first, the last, and each interval's extremes.

    Args:
        values: ``(n,)`` finite, in drawing order.
        most: at least 4; if there are no more values than this, all indices are returned.
    """
    n = len(values)
    if n <= most:
        return np.arange(n)
    stretch = np.arange(n) * ((most - 2) // 2) // n
    order = np.lexsort((values, stretch))
    begins = np.flatnonzero(np.diff(stretch, prepend=-1))
    ends = np.append(begins[1:], n) - 1
    return np.unique(np.concatenate([[0, n - 1], order[begins], order[ends]]))
