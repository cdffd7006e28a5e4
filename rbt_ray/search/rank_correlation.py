"""Rank correlation: how similarly two fidelities rank configs."""

from __future__ import annotations

import numpy as np

from rbt_ray.types import FloatArray


def rank_correlation(a: FloatArray, b: FloatArray) -> float:
    """Returns Spearman's rank correlation of two columns, from -1 to 1; NaN below 3 rows or for a constant column.

    Args:
        a: ``(n,)``; equal values share the mean of their ranks.
        b: ``(n,)``.

    Source:
        Spearman (1904), "The Proof and Measurement of Association between Two Things", American Journal of Psychology 15.
    """
    if len(a) < 3:
        return float("nan")
    x, y = _ranks(a), _ranks(b)
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 0 else float("nan")


def _ranks(values: FloatArray) -> FloatArray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    means: FloatArray = (last - (counts - 1) / 2)[inverse]
    return means
