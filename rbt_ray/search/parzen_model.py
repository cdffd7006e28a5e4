"""The multivariate tree-structured Parzen estimator (TPE), with weights by improvement."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr

from rbt_ray.search.density import Density, least_ratio, normal_reference
from rbt_ray.search.imputation import imputed
from rbt_ray.search.kernel_model import within_unit
from rbt_ray.search.levels import Levels
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

    Args:
        levels: the parameters.

    Source:
        Bergstra, Bardenet, Bengio and Kegl (2011), "Algorithms for Hyper-Parameter Optimization", NeurIPS 24; Falkner, Klein
        and Hutter (2018), ICML, for one density over all parameters; Watanabe (2023), "Tree-Structured Parzen Estimator:
        Understanding Its Algorithm Components and Their Roles for Better Empirical Performance", arXiv:2304.11127, for
        weights by improvement, the rule of widths and clipping.
    """

    def __init__(self, levels: Levels) -> None:
        self._kinds, self._n_options = levels.kinds, levels.n_options
        self._choices = np.flatnonzero(levels.n_options)
        self._numbers = np.flatnonzero(levels.n_options == 0)

    def is_ready(self, ranking: Ranking) -> bool:
        """See `Model`."""
        return len(ranking) >= _FEWEST and ranking.n_completed > 0

    def fit(self, ranking: Ranking, others: FloatArray, rng: np.random.Generator) -> None:
        """See `Model`."""
        levels, losses, n = ranking.levels, ranking.losses, len(ranking)
        n_good = min(math.ceil(_GOOD_SHARE * n), _MOST_GOOD, ranking.n_completed)
        bad = levels[n_good:]
        good = imputed(levels[:n_good], self._n_options, rng)
        bad = imputed(np.concatenate([bad, others]) if len(others) else bad, self._n_options, rng)
        self._good = _Mixture(good, self._kinds, self._n_options, _improvements(losses, n_good))
        self._bad = _Mixture(bad, self._kinds, self._n_options, np.ones(len(bad)))

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """See `Model`."""
        good = self._good
        around = rng.choice(len(good.weights), size=_CANDIDATES, p=good.weights / good.weights.sum())
        evenly = around == len(good.data)
        centres = good.data[np.where(evenly, 0, around)]
        drawn = np.empty_like(centres)
        numbers = within_unit(centres[:, self._numbers], good.bandwidths[self._numbers], rng)
        numbers[evenly] = rng.random((np.count_nonzero(evenly), len(self._numbers)))
        drawn[:, self._numbers] = numbers
        for column in self._choices:
            n = self._n_options[column]
            # a kernel gives each other option a share of the bandwidth, and an even draw may hit the option itself
            anew = evenly | (rng.random(_CANDIDATES) < good.bandwidths[column] * n / (n - 1))
            drawn[:, column] = np.where(anew, rng.integers(n, size=_CANDIDATES), centres[:, column])
        return drawn

    def best(self, candidates: FloatArray) -> int:
        """See `Model`."""
        likely = self._good.kernels.pdf(candidates) + self._good.even
        return least_ratio(self._bad.kernels, candidates, likely, more=self._bad.even)


class _Mixture:
    """A weighted sum of kernels about data and of the even distribution; not normalized.

    Attributes:
        weights: ``(n + 1,)`` of the data, and of the even distribution.
        kernels: the sum of the former.
        even: the latter's density.
    """

    def __init__(self, data: FloatArray, kinds: str, n_options: IntArray, weights: FloatArray) -> None:
        n = len(data)
        numbers = n_options == 0
        reference = normal_reference(data) if n else np.zeros(len(kinds))
        clipped = np.clip(reference, 1 / min(n + 2, _NARROWEST), 1.0)
        # n + 1 draws, of which one is spread over the k options evenly: 1 / (n + 1) of a config's own
        self.bandwidths = np.where(numbers, clipped, (n_options - 1) / (n + 1 + n_options))
        self.data = data
        self.weights = np.append(weights, 1.0)
        inside = _share_inside(data[:, numbers], self.bandwidths[numbers])
        self.kernels = Density(data, kinds, self.bandwidths, n_options, weights / inside)
        self.even = float(np.prod(1.0 / n_options[~numbers]))


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
