"""The multivariate tree-structured Parzen estimator (TPE), with weights by improvement."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from rbt_ray.search.encoding import Encoding, Ranking
from rbt_ray.search.kernel_model import Density, evenly, least_ratio, normal_reference, within_unit
from rbt_ray.types import FloatArray, IntArray

_GOOD_SHARE, _MOST_GOOD = 0.1, 25
_CANDIDATES = 64
_LEAST_WEIGHT = 1e-3  # relative to the mean: the worst good configs count a little
_LARGE = 1e280
_NARROWEST = 100


class ParzenModel:
    """Proposes configs that are likely among the good configs and unlikely among the others, as `KernelModel` does.

    The best tenth, at most 25, are good. Each density is a sum of one kernel for each config and the uniform distribution,
    which has the weight of an average config. Kernels are truncated to the unit interval. Their widths follow the normal
    reference rule, but are at least 1 / (n + 2) of the interval for n configs, or a hundredth ("magic clipping"), so that
    few configs do not narrow the search too early. The weight of a good config is its improvement over the best of the
    others. Candidates are drawn from the density of the good configs.

    Under conditions, the parameters that the same configs have form a group, with its own densities over those configs. A
    candidate's densities are products over its groups. So a config does not count for parameters that it lacks, and a branch
    with few good configs is not judged by values borrowed from others.

    Args:
        encoding: the encoded parameters.

    Source:
        Bergstra, Bardenet, Bengio and Kegl (2011), "Algorithms for Hyper-Parameter Optimization", NeurIPS 24; Falkner, Klein
        and Hutter (2018), ICML, for one density over all parameters; Watanabe (2023), "Tree-Structured Parzen Estimator:
        Understanding Its Algorithm Components and Their Roles for Better Empirical Performance", arXiv:2304.11127, for
        weights by improvement, the rule of widths and clipping; Optuna's documentation of `TPESampler(group=True)` for groups.
    """

    n_fewest = 10

    def __init__(self, encoding: Encoding) -> None:
        self._encoding, self._n_options = encoding, encoding.n_options

    def is_ready(self, ranking: Ranking) -> bool:
        """See `Model`."""
        return ranking.n_added >= self.n_fewest and ranking.n_completed > 0

    def fit(
        self, ranking: Ranking, others: FloatArray, rng: np.random.Generator, *, most_kernels: int | None = None
    ) -> None:
        """See `Model`; at most 25 configs are good."""
        del rng
        levels, losses, n = ranking.levels, ranking.losses, len(ranking)
        n_good = min(math.ceil(_GOOD_SHARE * n), _MOST_GOOD, ranking.n_completed)
        known = np.concatenate([levels, others]) if len(others) else levels
        weights = np.append(_improvements(losses, n_good), np.ones(len(known) - n_good))
        if most_kernels is not None:
            kept = np.append(np.arange(n_good), n_good + evenly(len(known) - n_good, most_kernels))
            known, weights = known[kept], weights[kept]
        self._parts = []
        for columns, rows in _jointly_there(known):
            n_options, good = self._n_options[columns], int(np.searchsorted(rows, n_good))
            data, counts = known.T[np.ix_(columns, rows)].T, weights[rows]
            self._parts.append(
                _Part(
                    columns,
                    good=_Mixture(data[:good], n_options, counts[:good]),
                    bad=_Mixture(data[good:], n_options, counts[good:]),
                )
            )

    def draw(self, rng: np.random.Generator, n: int = _CANDIDATES) -> FloatArray:
        """See `Model`."""
        drawn = np.empty((n, len(self._n_options)))
        for part in self._parts:
            drawn[:, part.columns] = part.good.draw(rng, n)
        return drawn

    def best(self, candidates: FloatArray) -> int:
        """See `Model`."""
        if len(self._parts) == 1:
            return self._parts[0].least_ratio(candidates)
        return int(np.argmin(self.ratios(candidates)))

    def ratios(self, candidates: FloatArray) -> FloatArray:
        """See `Model`."""
        if len(self._parts) == 1:
            return self._parts[0].ratio(candidates)
        there, ratio = self._encoding.active(candidates), np.ones(len(candidates))
        for part in self._parts:
            every = part.ratio(candidates[:, part.columns])
            # An absent group counts as the best draw of it. Otherwise the branch with more parameters would win, as the
            # least of many ratios is below 1 even if they are noise.
            ratio *= np.where(there[:, part.columns[0]], every, every.min())
        return ratio


@dataclass(frozen=True, slots=True)
class _Part:
    """The densities of a group of parameters that the same configs have.

    Args:
        columns: their columns.
        good: the density of the good configs that have them.
        bad: the density of the others.
    """

    columns: IntArray
    good: _Mixture
    bad: _Mixture

    def ratio(self, candidates: FloatArray) -> FloatArray:
        """Returns ``(n,)`` the ratio of the bad density to the good one at candidates."""
        return self.bad.pdf(candidates) / self.good.pdf(candidates)

    def least_ratio(self, candidates: FloatArray) -> int:
        """Returns the index of the candidate with the least ratio."""
        good, bad = self.good, self.bad
        return least_ratio(bad.kernels, candidates, good.kernels.pdf(candidates) + good.even, more=bad.even)


class _Mixture:
    """A weighted sum of kernels around data and the uniform distribution.

    Attributes:
        weights: ``(n + 1,)`` weights of the data, and of the uniform distribution.
        kernels: the weighted sum of the kernels, not normalized.
        even: the density of the uniform distribution.
    """

    def __init__(self, data: FloatArray, n_options: IntArray, weights: FloatArray) -> None:
        n = len(data)
        self._n_options = n_options
        self._numbers, self._choices = np.flatnonzero(n_options == 0), np.flatnonzero(n_options)
        reference = normal_reference(data) if n else np.zeros(len(n_options))
        clipped = np.clip(reference, 1 / min(n + 2, _NARROWEST), 1.0)
        # n + 1 draws, one of which is spread evenly over the k options
        self.bandwidths = np.where(n_options == 0, clipped, (n_options - 1) / (n + 1 + n_options))
        self.data = data
        self.weights = np.append(weights, 1.0)
        inside = _share_inside(data[:, self._numbers], self.bandwidths[self._numbers])
        kinds = "".join("u" if k else "c" for k in n_options)
        self.kernels = Density(data, kinds, self.bandwidths, n_options, weights / inside)
        self.even = float(np.prod(1.0 / n_options[self._choices]))

    def pdf(self, points: FloatArray) -> FloatArray:
        """Returns ``(n,)`` the normalized density at ``(n, n_params)`` points."""
        density: FloatArray = (self.kernels.pdf(points) + self.even) / self.weights.sum()
        return density

    def draw(self, rng: np.random.Generator, n_draws: int) -> FloatArray:
        """Returns draws, ``(n_draws, n_params)``."""
        around = rng.choice(len(self.weights), size=n_draws, p=self.weights / self.weights.sum())
        evenly = around == len(self.data)
        drawn = np.empty((n_draws, len(self._n_options)))
        centres = self.data[np.where(evenly, 0, around)] if len(self.data) else np.zeros_like(drawn)
        numbers = within_unit(centres[:, self._numbers], self.bandwidths[self._numbers], rng)
        numbers[evenly] = rng.random((np.count_nonzero(evenly), len(self._numbers)))
        drawn[:, self._numbers] = numbers
        for column in self._choices:
            n = self._n_options[column]
            # a kernel spreads the bandwidth over the other options, and a uniform draw may hit the option itself
            redrawn = evenly | (rng.random(n_draws) < self.bandwidths[column] * n / (n - 1))
            drawn[:, column] = np.where(redrawn, rng.integers(n, size=n_draws), centres[:, column])
        return drawn


def _jointly_there(levels: FloatArray) -> Iterator[tuple[IntArray, IntArray]]:
    """Yields groups of columns of ``(n, n_params)`` levels that are NaN in the same rows, and the rows without NaN."""
    groups: dict[bytes, list[int]] = {}
    there = ~np.isnan(levels)
    for column in range(levels.shape[1]):
        groups.setdefault(there[:, column].tobytes(), []).append(column)
    for columns in groups.values():
        yield np.array(columns), np.flatnonzero(there[:, columns[0]])


def _improvements(losses: FloatArray, n_good: int) -> FloatArray:
    """Returns ``(n_good,)`` weights with mean 1, by the improvement over the least loss of the others."""
    least = losses[n_good] if n_good < len(losses) and math.isfinite(losses[n_good]) else losses[n_good - 1]
    # The factor is exact. Without it, differences and sums of losses near the largest float are infinite.
    factor = 2.0**-64 if max(abs(least), np.abs(losses[:n_good]).max()) > _LARGE else 1.0
    better = least * factor - losses[:n_good] * factor
    if not better.any():
        return np.ones(n_good)
    weights: FloatArray = np.maximum(better / better.mean(), _LEAST_WEIGHT)
    return weights


def _share_inside(centres: FloatArray, bandwidths: FloatArray) -> FloatArray:
    """Returns ``(n,)`` the share within the unit cube of normal distributions around ``(n, n_numbers)`` centres."""
    share: FloatArray = (ndtr((1 - centres) / bandwidths) - ndtr(-centres / bandwidths)).prod(axis=1)
    return share
