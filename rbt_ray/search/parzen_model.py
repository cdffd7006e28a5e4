"""The multivariate tree-structured Parzen estimator (TPE), with weights by improvement."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from rbt_ray.search.density import Density, least_ratio, normal_reference
from rbt_ray.search.encoding import Encoding
from rbt_ray.search.kernel_model import within_unit
from rbt_ray.search.ranking import Ranking
from rbt_ray.types import FloatArray, IntArray

_FEWEST = 10
_GOOD_SHARE, _MOST_GOOD = 0.1, 25
_CANDIDATES = 64
_LEAST_WEIGHT = 1e-3  # of the average: configs that just made it count a little
_NARROWEST = 100


class ParzenModel:
    """Proposes what is likely among the good configs and unlikely among the others, as `KernelModel` does.

    The best tenth, at most 25, are good. Both densities are sums of a kernel a config and of the even distribution, which
    counts as much as an average config does. Kernels are cut to the unit interval; their widths follow the normal
    reference rule, but are at least 1 / (n + 2) of the interval for n configs, or a hundredth ("magic clipping"), so that
    few configs do not narrow the search too soon. A good config counts by how much better it is than the best of the
    others. Candidates are drawn from the density of the good.

    Where conditions leave parameters out, those that the same configs have are a group, with densities of its own over the
    configs that have it; a candidate's densities are the products over its groups. So no config speaks for parameters it
    does not have, and a branch that few good configs took is not judged by values lent to the others.

    Args:
        levels: the parameters.

    Source:
        Bergstra, Bardenet, Bengio and Kegl (2011), "Algorithms for Hyper-Parameter Optimization", NeurIPS 24; Falkner, Klein
        and Hutter (2018), ICML, for one density over all parameters; Watanabe (2023), "Tree-Structured Parzen Estimator:
        Understanding Its Algorithm Components and Their Roles for Better Empirical Performance", arXiv:2304.11127, for
        weights by improvement, the rule of widths and clipping; Optuna's documentation of `TPESampler(group=True)` for groups.
    """

    def __init__(self, levels: Encoding) -> None:
        self._levels, self._n_options = levels, levels.n_options

    def is_ready(self, ranking: Ranking) -> bool:
        """See `Model`."""
        return len(ranking) >= _FEWEST and ranking.n_completed > 0

    def fit(self, ranking: Ranking, others: FloatArray, rng: np.random.Generator) -> None:
        """See `Model`."""
        del rng
        levels, losses, n = ranking.levels, ranking.losses, len(ranking)
        n_good = min(math.ceil(_GOOD_SHARE * n), _MOST_GOOD, ranking.n_completed)
        known = np.concatenate([levels, others]) if len(others) else levels
        weights = np.append(_improvements(losses, n_good), np.ones(len(known) - n_good))
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

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """See `Model`."""
        drawn = np.empty((_CANDIDATES, len(self._n_options)))
        for part in self._parts:
            drawn[:, part.columns] = part.good.draw(rng)
        return drawn

    def best(self, candidates: FloatArray) -> int:
        """See `Model`."""
        if len(self._parts) == 1:
            return self._parts[0].least_ratio(candidates)
        there, ratio = self._levels.active(candidates), np.ones(len(candidates))
        for part in self._parts:
            every = part.ratio(candidates[:, part.columns])
            # An absent group counts as the best that was drawn of it: else the branch with the more parameters would win,
            # as the least of many drawn ratios is below 1 even where they mean nothing.
            ratio *= np.where(there[:, part.columns[0]], every, every.min())
        return int(np.argmin(ratio))


@dataclass(frozen=True, slots=True)
class _Part:
    """What is known of parameters that are there together.

    Args:
        columns: where they are among all.
        good: of the good configs that have them.
        bad: of the others.
    """

    columns: IntArray
    good: _Mixture
    bad: _Mixture

    def ratio(self, candidates: FloatArray) -> FloatArray:
        """How much likelier candidates are among the others than among the good, ``(n,)``."""
        return self.bad.pdf(candidates) / self.good.pdf(candidates)

    def least_ratio(self, candidates: FloatArray) -> int:
        """Where that is least."""
        good, bad = self.good, self.bad
        return least_ratio(bad.kernels, candidates, good.kernels.pdf(candidates) + good.even, more=bad.even)


class _Mixture:
    """A weighted sum of kernels about data and of the even distribution.

    Attributes:
        weights: ``(n + 1,)`` of the data, and of the even distribution.
        kernels: the sum of the former, not normalized.
        even: the latter's density.
    """

    def __init__(self, data: FloatArray, n_options: IntArray, weights: FloatArray) -> None:
        n = len(data)
        self._n_options = n_options
        self._numbers, self._choices = np.flatnonzero(n_options == 0), np.flatnonzero(n_options)
        reference = normal_reference(data) if n else np.zeros(len(n_options))
        clipped = np.clip(reference, 1 / min(n + 2, _NARROWEST), 1.0)
        # n + 1 draws, of which one is spread over the k options evenly: 1 / (n + 1) of a config's own
        self.bandwidths = np.where(n_options == 0, clipped, (n_options - 1) / (n + 1 + n_options))
        self.data = data
        self.weights = np.append(weights, 1.0)
        inside = _share_inside(data[:, self._numbers], self.bandwidths[self._numbers])
        kinds = "".join("u" if k else "c" for k in n_options)
        self.kernels = Density(data, kinds, self.bandwidths, n_options, weights / inside)
        self.even = float(np.prod(1.0 / n_options[self._choices]))

    def pdf(self, points: FloatArray) -> FloatArray:
        """The density at ``(n, n_params)`` points, normalized: ``(n,)``."""
        density: FloatArray = (self.kernels.pdf(points) + self.even) / self.weights.sum()
        return density

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """Draws, ``(n, n_params)``."""
        around = rng.choice(len(self.weights), size=_CANDIDATES, p=self.weights / self.weights.sum())
        evenly = around == len(self.data)
        drawn = np.empty((_CANDIDATES, len(self._n_options)))
        centres = self.data[np.where(evenly, 0, around)] if len(self.data) else np.zeros_like(drawn)
        numbers = within_unit(centres[:, self._numbers], self.bandwidths[self._numbers], rng)
        numbers[evenly] = rng.random((np.count_nonzero(evenly), len(self._numbers)))
        drawn[:, self._numbers] = numbers
        for column in self._choices:
            n = self._n_options[column]
            # a kernel gives each other option a share of the bandwidth, and an even draw may hit the option itself
            anew = evenly | (rng.random(_CANDIDATES) < self.bandwidths[column] * n / (n - 1))
            drawn[:, column] = np.where(anew, rng.integers(n, size=_CANDIDATES), centres[:, column])
        return drawn


def _jointly_there(levels: FloatArray) -> Iterator[tuple[IntArray, IntArray]]:
    """Groups of the columns of ``(n, n_params)`` levels that are NaN in the same rows, and the rows in which they are not."""
    groups: dict[bytes, list[int]] = {}
    there = ~np.isnan(levels)
    for column in range(levels.shape[1]):
        groups.setdefault(there[:, column].tobytes(), []).append(column)
    for columns in groups.values():
        yield np.array(columns), np.flatnonzero(there[:, columns[0]])


def _improvements(losses: FloatArray, n_good: int) -> FloatArray:
    """``(n_good,)`` weights of mean 1 by how much less than the least loss of the others each of the good ones has."""
    least = losses[n_good] if n_good < len(losses) and math.isfinite(losses[n_good]) else losses[n_good - 1]
    better = least - losses[:n_good]
    if not better.any():
        return np.ones(n_good)
    weights: FloatArray = np.maximum(better / better.mean(), _LEAST_WEIGHT)
    return weights


def _share_inside(centres: FloatArray, bandwidths: FloatArray) -> FloatArray:
    """``(n,)`` how much of the normal distributions about ``(n, n_numbers)`` centres lies within the unit cube."""
    share: FloatArray = (ndtr((1 - centres) / bandwidths) - ndtr(-centres / bandwidths)).prod(axis=1)
    return share
