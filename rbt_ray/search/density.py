"""Densities of points as sums of product kernels, for numbers, options and ordered options at once."""

from __future__ import annotations

import math

import numpy as np

from rbt_ray.types import FloatArray, IntArray

_BLOCK = 1024  # data points that are summed over at a time, so that what 64 points give with them stays in the cache
_FIRST, _LEADING = 128, 8  # data that rule points out; points that are looked at in full to know what is to be beaten


def normal_reference(data: FloatArray) -> FloatArray:
    """Bandwidths by the normal reference rule, ``(n_params,)``: 1.06 sd n^(-1 / (4 + n_params)).

    Args:
        data: ``(n, n_params)``; the standard deviation has ``ddof=0``.

    Source:
        Racine (2008), "Nonparametric Econometrics: A Primer", Foundations and Trends in Econometrics 3(1), 13; the same
        rule is used for options by their positions, as statsmodels does.
    """
    n, n_params = data.shape
    bandwidths: FloatArray = 1.06 * data.std(axis=0) * n ** (-1.0 / (4 + n_params))
    return bandwidths


class Density:
    """The density of data: the mean over its points of the product over the parameters of a kernel each, or a weighted sum.

    Kinds and kernels of a parameter: "c", a number, Gaussian; "u", the position of an option, Aitchison-Aitken; "o", the
    position of an ordered option, Wang-van Ryzin. A density over numbers integrates to 1 over the real line.

    Args:
        data: ``(n, n_params)``, finite; positions are whole numbers from 0.
        kinds: a letter for each parameter.
        bandwidths: ``(n_params,)``, above 0; for options the share of the weight that goes to other options, at most
            (k - 1) / k of k options for "u", which is the even distribution, and 1 for "o".
        n_options: ``(n_params,)`` how many options each parameter has; for "c" it is not read.
        weights: ``(n,)``, above 0, what the points' kernels count in the sum; None: 1 / n each.

    Source:
        Li and Racine (2003), "Nonparametric estimation of distributions with categorical and continuous data", Journal of
        Multivariate Analysis 86, 266-292; Aitchison and Aitken (1976), Biometrika 63, 413-420; Wang and van Ryzin (1981),
        Biometrika 68, 301-309.
    """

    def __init__(
        self,
        data: FloatArray,
        kinds: str,
        bandwidths: FloatArray,
        n_options: IntArray,
        weights: FloatArray | None = None,
    ) -> None:
        numbers = [column for column, kind in enumerate(kinds) if kind == "c"]
        self._numbers = slice(None) if len(numbers) == len(kinds) else np.array(numbers, dtype=np.int64)
        values = data.T[self._numbers]
        # about the mean, so that squares do not cancel each other out where narrow kernels lie close together
        self._centre = values.mean(axis=1) if len(data) else np.zeros(len(values))
        self._scale = 1 / (math.sqrt(2) * bandwidths[self._numbers])
        # -(x - y)^2 = 2xy - x^2 - y^2: rows of which the products with a point's own add up to it
        self._rows = np.empty((len(values) + 2, len(data)))
        scaled = self._rows[:-2]
        np.subtract(values, self._centre[:, None], out=scaled)
        scaled *= self._scale[:, None]
        self._rows[-2] = -1.0
        np.einsum("dn,dn->n", scaled, scaled, out=self._rows[-1])
        np.negative(self._rows[-1], out=self._rows[-1])
        if weights is not None:
            self._rows[-1] += np.log(weights)
        scaled *= 2
        # row i: the kernels of all data at option i
        self._tables = [
            (
                column,
                _table(kind, float(bandwidths[column]), int(n_options[column]))[:, data[:, column].astype(np.int64)],
            )
            for column, kind in enumerate(kinds)
            if kind != "c"
        ]
        self._factor = float(np.prod(self._scale)) * math.pi ** (-0.5 * len(values))
        if weights is None:
            self._factor /= len(data)

    def __len__(self) -> int:
        return self._rows.shape[1]

    def pdf(self, points: FloatArray, start: int = 0, stop: int | None = None) -> FloatArray:
        """The density at ``(n, n_params)`` points, ``(n,)``; or the part of it that data `start` to `stop` make up."""
        scaled = (points.T[self._numbers] - self._centre[:, None]) * self._scale[:, None]
        rows = np.empty((len(self._rows), len(points)))
        rows[:-2] = scaled
        np.einsum("dn,dn->n", scaled, scaled, out=rows[-2])
        rows[-1] = 1.0
        options = [(points[:, column].astype(np.int64), table) for column, table in self._tables]
        total = np.zeros(len(points))
        stop = len(self) if stop is None else min(stop, len(self))
        for first in range(start, stop, _BLOCK):
            block = slice(first, min(first + _BLOCK, stop))
            # einsum adds in a fixed order; that of a matrix product may depend on the library and its threads
            kernels = np.einsum("dp,dn->pn", rows, self._rows[:, block])
            np.exp(kernels, out=kernels)
            for at, table in options:
                kernels *= table[at, block]
            total += kernels.sum(axis=1)
        total *= self._factor
        return total


def least_ratio(
    density: Density, points: FloatArray, divisors: FloatArray, *, least: float = 0.0, more: float = 0.0
) -> int:
    """Which of the points has the least max(density + more, least) / divisor; of equals the first.

    A part of the density is enough to rule most points out: only the others get all of it.

    Args:
        density: of which every part is at least 0.
        points: ``(n, n_params)``.
        divisors: ``(n,)``, above 0.
        least: what the density counts at least.
        more: what is added to it.
    """
    so_far = density.pdf(points, stop=_FIRST) + more
    if len(density) > _FIRST:
        ratios = np.maximum(so_far, least) / divisors
        leading = np.argpartition(ratios, min(_LEADING, len(points)) - 1)[:_LEADING]
        so_far[leading] += density.pdf(points[leading], start=_FIRST)
        reached = (np.maximum(so_far[leading], least) / divisors[leading]).min()
        possible = ratios <= reached
        possible[leading] = False
        if possible.any():
            so_far[possible] += density.pdf(points[possible], start=_FIRST)
    return int(np.argmin(np.maximum(so_far, least) / divisors))


def _table(kind: str, bandwidth: float, n: int) -> FloatArray:
    """``(n, n)`` the kernel of a data point at option j, at option i."""
    if kind == "u":
        table = np.full((n, n), bandwidth / (n - 1) if n > 1 else 0.0)
    else:
        distance = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
        table = 0.5 * (1 - bandwidth) * bandwidth**distance
    np.fill_diagonal(table, 1 - bandwidth)
    return table
