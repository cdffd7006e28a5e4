"""BOHB's model: a density of the good configs and one of the others."""

from __future__ import annotations

import math

import numpy as np

from rbt_ray.search.encoding import Encoding, Ranking
from rbt_ray.types import FloatArray, IntArray

_BLOCK = 1024  # data points to sum over at a time, so that their kernels fit in the cache
_POINTS = 64  # points at a time: the system maps a large array again each time, which takes longer than filling it
_FIRST, _LEADING = 128, 8  # data for a first bound; points to evaluate in full for a least ratio to beat
_GOOD_PERCENT = 15
_CANDIDATES = 64
_WIDENING = 3.0
_NARROWEST = 1e-3  # keeps some spread in a parameter on which all good configs agree
_LEAST_DENSITY = 1e-32


def normal_reference(data: FloatArray) -> FloatArray:
    """Returns bandwidths by the normal reference rule, ``(n_params,)``: 1.06 sd n^(-1 / (4 + n_params)).

    Args:
        data: ``(n, n_params)``; the standard deviation has ``ddof=0``.

    Source:
        Racine (2008), "Nonparametric Econometrics: A Primer", Foundations and Trends in Econometrics 3(1), 13; for the options of a choice, the rule uses their positions, as statsmodels does.
    """
    n, n_params = data.shape
    bandwidths: FloatArray = 1.06 * data.std(axis=0) * n ** (-1.0 / (4 + n_params))
    return bandwidths


class Density:
    """The density of data: the mean, or a weighted sum, over its points of the product of one kernel for each parameter.

    The kinds of parameters and their kernels: "c", a number, Gaussian; "u", the position of an option, Aitchison-Aitken; "o", the
    position of an ordered option, Wang-van Ryzin. A density over numbers integrates to 1 over the real line.

    Args:
        data: ``(n, n_params)``, finite; positions are whole numbers from 0.
        kinds: a letter for each parameter.
        bandwidths: ``(n_params,)``, above 0; for options the share of the weight of other options, at most (k - 1) / k of k
            options for "u", the uniform distribution, and 1 for "o".
        n_options: ``(n_params,)`` how many options each parameter has; ignored for "c".
        weights: ``(n,)``, above 0, the weights of the kernels; None: 1 / n each.

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
        # relative to the mean, so that squares do not cancel for narrow kernels close together
        self._centre = values.mean(axis=1) if len(data) else np.zeros(len(values))
        self._scale = 1 / (math.sqrt(2) * bandwidths[self._numbers])
        # -(x - y)^2 = 2xy - x^2 - y^2 as a product of these rows with rows of the point
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
        """Returns ``(n,)`` the density at ``(n, n_params)`` points, or the part of it from data `start` to `stop`."""
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
            for low in range(0, len(points), _POINTS):
                part = slice(low, low + _POINTS)
                # einsum sums in a fixed order; a matrix product's order may depend on the library and its threads
                kernels = np.einsum("dp,dn->pn", rows[:, part], self._rows[:, block])
                np.exp(kernels, out=kernels)
                for at, table in options:
                    kernels *= table[at[part], block]
                total[part] += kernels.sum(axis=1)
        total *= self._factor
        return total


def least_ratio(
    density: Density, points: FloatArray, divisors: FloatArray, *, least: float = 0.0, more: float = 0.0
) -> int:
    """Returns the index of the first point with the least max(density + more, least) / divisor.

    A part of the density rules out most points; only the others need all of it.

    Args:
        density: a density whose parts are all at least 0.
        points: ``(n, n_params)``.
        divisors: ``(n,)``, above 0.
        least: a lower bound of the density.
        more: what to add to the density.
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


def evenly(n: int, most: int) -> IntArray:
    """Returns at most `most` of `n` positions, evenly spaced."""
    return np.arange(n) if n <= most else np.arange(most) * n // most


def _table(kind: str, bandwidth: float, n: int) -> FloatArray:
    """Returns ``(n, n)`` the kernel around option j at option i."""
    if kind == "u":
        table = np.full((n, n), bandwidth / (n - 1) if n > 1 else 0.0)
    else:
        distance = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
        table = 0.5 * (1 - bandwidth) * bandwidth**distance
    np.fill_diagonal(table, 1 - bandwidth)
    return table


def imputed(levels: FloatArray, n_options: IntArray, rng: np.random.Generator) -> FloatArray:
    """Returns levels without NaNs: a row takes its missing levels from a random row that has the first of them, then the next.

    If no row has a parameter, its level is drawn at random.

    Args:
        levels: ``(n, n_params)``.
        n_options: see `Encoding`.
        rng: picks the other rows.

    Source:
        Falkner, Klein and Hutter (2018), "BOHB: Robust and Efficient Hyperparameter Optimization at Scale", ICML,
        supplement; as in hpbandster 0.7.4, which leaves the gaps of the first column.
    """
    absent = np.isnan(levels)
    if not absent.any():
        return levels
    filled = levels.copy(order="K")
    for column in np.flatnonzero(absent.any(axis=0)):
        empty = np.flatnonzero(np.isnan(filled[:, column]))
        known = np.flatnonzero(~absent[:, column])
        if len(known):
            donors = levels[rng.choice(known, size=len(empty))]
            filled[empty] = np.where(np.isnan(filled[empty]), donors, filled[empty])
        elif n_options[column]:
            filled[empty, column] = rng.integers(n_options[column], size=len(empty))
        else:
            filled[empty, column] = rng.random(len(empty))
    return filled


class KernelModel:
    """Proposes configs that are likely among the good configs and unlikely among the others.

    The best 15 % have a density l, the others a density g. Each has one kernel for each config, with bandwidths by the
    normal reference rule. Candidates are drawn around good configs: numbers from truncated normal distributions three times
    as wide as the kernels, and options redrawn with the bandwidth's probability. The lower g / l, the better. A config
    without a parameter takes its value from one that has it.

    Differences from hpbandster 0.7.4: the bandwidth of a choice is at most that of the uniform distribution, beyond which
    its kernel would favour other options; kernels cover all options, not only those observed; failed configs are never
    good; and evenly stepped numbers are cells of equal width, where ConfigSpace halves the first and the last.

    Args:
        encoding: the encoded parameters.

    Source:
        Falkner, Klein and Hutter (2018), "BOHB: Robust and Efficient Hyperparameter Optimization at Scale", ICML,
        1437-1446.
    """

    def __init__(self, encoding: Encoding) -> None:
        self._kinds, self._n_options = encoding.kinds, encoding.n_options
        self._choices = np.flatnonzero(encoding.n_options)
        self._numbers = np.flatnonzero(encoding.n_options == 0)
        self._fewest = encoding.n_params + 1
        self.n_fewest = 2 * self._fewest
        self._widest = np.where(encoding.n_options > 0, 1 - 1 / np.maximum(encoding.n_options, 1), np.inf)

    def is_ready(self, ranking: Ranking) -> bool:
        """See `Model`."""
        return ranking.n_added >= self.n_fewest and ranking.n_completed >= self._fewest

    def fit(
        self, ranking: Ranking, others: FloatArray, rng: np.random.Generator, *, most_kernels: int | None = None
    ) -> None:
        """See `Model`; the good configs have half as many kernels at most."""
        levels, n = ranking.levels, len(ranking)
        n_good = min(max(self._fewest, _GOOD_PERCENT * n // 100), ranking.n_completed)
        n_bad = max(self._fewest, (100 - _GOOD_PERCENT) * n // 100)
        bad = levels[n_good : n_good + n_bad]
        bad = np.concatenate([bad, others]) if len(others) else bad
        if most_kernels is not None:
            n_good = min(n_good, max(self._fewest, most_kernels // 2))
            bad = bad[evenly(len(bad), max(self._fewest, most_kernels))]
        self._good = imputed(levels[:n_good], self._n_options, rng)
        self._bandwidths = self._bandwidths_of(self._good)
        self._l = self._density(self._good, self._bandwidths)
        bad = imputed(bad, self._n_options, rng)
        self._g = self._density(bad, self._bandwidths_of(bad))

    def draw(self, rng: np.random.Generator, n: int = _CANDIDATES) -> FloatArray:
        """See `Model`."""
        around = rng.integers(len(self._good), size=n)
        candidates = self._good[around]
        drawn = candidates.copy()
        numbers = self._numbers
        drawn[:, numbers] = within_unit(candidates[:, numbers], _WIDENING * self._bandwidths[numbers], rng)
        for column in self._choices:
            redrawn = rng.random(n) < self._bandwidths[column]
            option = rng.integers(self._n_options[column], size=n)
            drawn[:, column] = np.where(redrawn, option, candidates[:, column])
        return drawn

    def best(self, candidates: FloatArray) -> int:
        """See `Model`."""
        likely = np.maximum(self._l.pdf(candidates), _LEAST_DENSITY)
        return least_ratio(self._g, candidates, likely, least=_LEAST_DENSITY)

    def ratios(self, candidates: FloatArray) -> FloatArray:
        """See `Model`."""
        likely, unlikely = (np.maximum(density.pdf(candidates), _LEAST_DENSITY) for density in (self._l, self._g))
        ratios: FloatArray = unlikely / likely
        return ratios

    def _bandwidths_of(self, data: FloatArray) -> FloatArray:
        return np.minimum(np.maximum(normal_reference(data), _NARROWEST), self._widest)

    def _density(self, data: FloatArray, bandwidths: FloatArray) -> Density:
        return Density(data, self._kinds, bandwidths, self._n_options)


def within_unit(mean: FloatArray, sd: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Returns draws of normal distributions truncated to [0, 1), in the shape of `mean`; `sd` broadcasts to it."""
    sd = np.broadcast_to(sd, mean.shape)
    draws = mean + sd * rng.standard_normal(mean.shape)
    outside = ~((draws >= 0) & (draws < 1))
    while outside.any():
        draws[outside] = mean[outside] + sd[outside] * rng.standard_normal(np.count_nonzero(outside))
        outside = ~((draws >= 0) & (draws < 1))
    return draws
