"""A local model of the loss around the best config: a quadratic function of its numbers."""

from __future__ import annotations

import math

import numpy as np

from rbt_ray.search.constraints import is_feasible
from rbt_ray.search.encoding import Encoding, Ranking
from rbt_ray.types import FloatArray, IntArray

_MOST_NUMBERS = 10  # a fit of more has over 66 coefficients, and needs a hundred results near the best one
_LEAST_RESULTS, _RESULTS = 1.25, 1.5  # for each coefficient
_RIDGE = 1e-4
_WEIGHT_AT_BEST = 10.0  # relative to the weight of a result at a distance of one radius, about
_REACH, _LEAST_DISTANCE, _WIDEST = 0.6, 0.05, 0.5  # in radii
_SWEEPS = 8
_CANDIDATES = 24
_TAKEN = 256
_HIGHEST = np.nextafter(1.0, 0.0)


class LocalQuadratic:
    """Proposes configs near the minimum of a quadratic function fitted to the results around the best one.

    The fit uses results whose options and absent parameters are those of the best config, and of those the ones nearest to
    it: 1.5 for each coefficient. Their farthest distance is the radius. Nearer results have more weight. While there are
    fewer than 1.25 results for each coefficient, the function has no products of different numbers. Its minimum is sought
    within 0.6 radii of the best config in each number. As results accumulate there, the radius shrinks. Where the loss is
    not smooth, a minimum of the fit means nothing: it is used only if it predicts each result from the others better, in the
    sum of squares, than their mean does.

    Args:
        encoding: the encoded parameters.

    Source:
        Conn, Scheinberg and Vicente (2009), "Introduction to Derivative-Free Optimization", SIAM, chapters 4 and 11, for
        regression models and for trust regions; this one has no other state than the results. Allen (1974), "The
        Relationship between Variable Selection and Data Augmentation and a Method for Prediction", Technometrics 16(1),
        for the errors of predictions from the other results.
    """

    def __init__(self, encoding: Encoding) -> None:
        self._is_number = encoding.n_options == 0

    def draw(self, ranking: Ranking, pending: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Returns candidates, ``(n, n_params)`` levels, best first; none if there are too few results, or not smooth.

        Each is at least 0.05 radii away from the 256 nearest results and from the pending configs.

        Args:
            ranking: the results.
            pending: ``(n_pending, n_params)`` levels of configs that have no result yet.
            rng: draws the candidates around the minimum.
        """
        n_feasible = int(is_feasible(ranking.losses).sum())
        levels, losses = ranking.levels[:n_feasible], ranking.losses[:n_feasible]
        if not n_feasible:
            return levels
        best = levels[0].copy()
        numbers = np.flatnonzero(self._is_number & ~np.isnan(best))
        rows = _alike(levels, np.flatnonzero(~self._is_number | np.isnan(best)))
        squares = _squares(len(numbers), len(rows))
        if squares is None:
            return levels[:0]
        centre, known = best[numbers], levels[np.ix_(rows, numbers)]
        distances = np.sqrt(((known - centre) ** 2).sum(axis=1))
        order = np.argsort(distances, kind="stable")
        nearest = order[: math.ceil(_RESULTS * (1 + len(numbers) + len(squares[0])))]
        radius = float(distances[nearest[-1]])
        above = losses[rows[nearest]] - losses[0]
        if not radius or not above.any():
            return levels[:0]
        fitted = _fitted((known[nearest] - centre) / radius, above / above.max(), squares)
        if fitted is None:
            return levels[:0]
        slope, bend = fitted
        low, high = -centre / radius, (_HIGHEST - centre) / radius
        lowest = _minimum(slope, bend, np.maximum(low, -_REACH), np.minimum(high, _REACH))
        spread = np.linspace(0.0, _WIDEST, _CANDIDATES)[:, None]
        steps = np.clip(lowest + spread * rng.standard_normal((_CANDIDATES, len(numbers))), low, high)
        taken = np.concatenate([known[order[:_TAKEN]], pending[:, numbers]])
        gaps = np.square(steps[:, None] - ((taken - centre) / radius)[None]).sum(axis=2)
        steps = steps[np.nanmin(gaps, axis=1) >= _LEAST_DISTANCE**2]
        drawn = np.repeat(best[None], len(steps), axis=0)
        drawn[:, numbers] = np.clip(centre + radius * steps, 0.0, _HIGHEST)  # rounding can pass a bound of `steps`
        return drawn


def _alike(levels: FloatArray, columns: IntArray) -> IntArray:
    """Returns the rows whose values in these columns, NaN included, are those of the first row."""
    there = levels[:, columns]
    same = (there == there[0]) | (np.isnan(there) & np.isnan(there[0]))
    return np.flatnonzero(same.all(axis=1))


def _squares(n_numbers: int, n_rows: int) -> tuple[IntArray, IntArray] | None:
    """Returns the pairs of numbers whose products a fit to so many rows can include; None if there are too few rows."""
    if not 1 <= n_numbers <= _MOST_NUMBERS:
        return None
    for first, second in (np.triu_indices(n_numbers), np.diag_indices(n_numbers)):
        if n_rows >= _LEAST_RESULTS * (1 + n_numbers + len(first)):
            return first, second
    return None


def _fitted(
    steps: FloatArray, losses: FloatArray, squares: tuple[IntArray, IntArray]
) -> tuple[FloatArray, FloatArray] | None:
    """Returns the gradient at 0, ``(n_numbers,)``, and the matrix of second derivatives of a ridge regression.

    Returns None if it predicts results from the others no better than their mean does.
    """
    first, second = squares
    n, n_numbers = steps.shape
    features = np.concatenate([np.ones((n, 1)), steps, steps[:, first] * steps[:, second]], axis=1)
    weights = 1 / (1 / _WEIGHT_AT_BEST + np.square(steps).sum(axis=1))
    weighted = features * weights[:, None]
    # einsum sums in a fixed order, and BLAS uses no threads for the inverse of so small a matrix
    matrix = np.einsum("ni,nj->ij", weighted, features)
    matrix[np.diag_indices(len(matrix))] += _RIDGE * np.trace(matrix) / len(matrix)
    inverse = np.linalg.inv(matrix)
    coefficients = np.einsum("ij,j->i", inverse, np.einsum("ni,n->i", weighted, losses))
    errors = losses - np.einsum("ni,i->n", features, coefficients)
    errors /= 1 - np.einsum("ni,ni->n", weighted, np.einsum("ij,nj->ni", inverse, features))
    from_mean = (losses - np.average(losses, weights=weights)) / (1 - weights / weights.sum())
    if (weights * errors**2).sum() >= (weights * from_mean**2).sum():
        return None
    bend = np.zeros((n_numbers, n_numbers))
    bend[first, second] += coefficients[1 + n_numbers :]
    bend[second, first] += coefficients[1 + n_numbers :]
    return coefficients[1 : 1 + n_numbers], bend


def _minimum(slope: FloatArray, bend: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """Returns a minimum of slope x + x bend x / 2 within bounds that include 0, by coordinate descent from 0."""
    n = len(slope)
    x, rows, lows, highs = [0.0] * n, bend.tolist(), low.tolist(), high.tolist()
    for _ in range(_SWEEPS):
        for k, start in enumerate(slope.tolist()):
            curvature = rows[k][k]
            rise = start + sum(a * b for a, b in zip(rows[k], x, strict=True)) - curvature * x[k]
            if curvature > 0:
                x[k] = min(max(-rise / curvature, lows[k]), highs[k])
            else:  # at the bound with the lower value
                value_at = [rise * at + curvature * at * at / 2 for at in (lows[k], highs[k])]
                x[k] = lows[k] if value_at[0] < value_at[1] else highs[k]
    return np.array(x)
