"""BOHB's model: a density of the good configs and one of the others."""

from __future__ import annotations

import numpy as np

from rbt_ray.search.density import Density, least_ratio, normal_reference
from rbt_ray.search.encoding import Encoding, Ranking
from rbt_ray.types import FloatArray, IntArray


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


_GOOD_PERCENT = 15
_CANDIDATES = 64
_WIDENING = 3.0
_NARROWEST = 1e-3  # keeps some spread in a parameter on which all good configs agree
_LEAST_DENSITY = 1e-32


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
        self._widest = np.where(encoding.n_options > 0, 1 - 1 / np.maximum(encoding.n_options, 1), np.inf)

    def is_ready(self, ranking: Ranking) -> bool:
        """See `Model`."""
        return len(ranking) >= 2 * self._fewest and ranking.n_completed >= self._fewest

    def fit(self, ranking: Ranking, others: FloatArray, rng: np.random.Generator) -> None:
        """See `Model`."""
        levels, n = ranking.levels, len(ranking)
        n_good = min(max(self._fewest, _GOOD_PERCENT * n // 100), ranking.n_completed)
        n_bad = max(self._fewest, (100 - _GOOD_PERCENT) * n // 100)
        bad = levels[n_good : n_good + n_bad]
        self._good = imputed(levels[:n_good], self._n_options, rng)
        self._bandwidths = self._bandwidths_of(self._good)
        self._l = self._density(self._good, self._bandwidths)
        bad = imputed(np.concatenate([bad, others]) if len(others) else bad, self._n_options, rng)
        self._g = self._density(bad, self._bandwidths_of(bad))

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """See `Model`."""
        around = rng.integers(len(self._good), size=_CANDIDATES)
        candidates = self._good[around]
        drawn = candidates.copy()
        numbers = self._numbers
        drawn[:, numbers] = within_unit(candidates[:, numbers], _WIDENING * self._bandwidths[numbers], rng)
        for column in self._choices:
            redrawn = rng.random(_CANDIDATES) < self._bandwidths[column]
            option = rng.integers(self._n_options[column], size=_CANDIDATES)
            drawn[:, column] = np.where(redrawn, option, candidates[:, column])
        return drawn

    def best(self, candidates: FloatArray) -> int:
        """See `Model`."""
        likely = np.maximum(self._l.pdf(candidates), _LEAST_DENSITY)
        return least_ratio(self._g, candidates, likely, least=_LEAST_DENSITY)

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
