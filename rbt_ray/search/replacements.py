"""Allowed configs in place of suggestions that break a constraint."""

from __future__ import annotations

import numpy as np

from rbt_ray.search.random_draws import RandomSearch
from rbt_ray.study.domains import Choice
from rbt_ray.study.space import Space
from rbt_ray.types import FloatArray

_POOL = 256


class Replacements:
    """Random allowed configs, each given once: the nearest of up to 256 to a suggestion.

    So a model that does not know the constraints still leads the search. The distance is Euclidean over the levels of numbers; two
    options, and a parameter that only one config has, are 1 apart.

    Args:
        space: the space, with its constraints.
        seed: the seed of the random configs.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._random = RandomSearch(space, seed=seed)
        self._pool = np.empty((0, space.n_params))
        self._choices = [column for column, domain in enumerate(space.domains) if isinstance(domain, Choice)]

    def nearest(self, suggestion: FloatArray) -> FloatArray | None:
        """Returns the config nearest to a point ``(1, n_params)``, of the same shape; None if all were given.

        Raises:
            SpaceError: practically no config of the space is allowed.
        """
        new = self._random.ask(_POOL - len(self._pool)).points
        self._pool = np.concatenate([self._pool, new])
        if not len(self._pool):
            return None
        apart = np.abs(self._space.to_unit(self._pool) - self._space.to_unit(suggestion))
        apart[:, self._choices] = self._pool[:, self._choices] != suggestion[:, self._choices]
        there, here = np.isnan(self._pool), np.isnan(suggestion)
        apart[there | here] = 1.0
        apart[there & here] = 0.0
        row = int(np.argmin((apart**2).sum(axis=1)))
        found = self._pool[row : row + 1]
        self._pool = np.delete(self._pool, row, axis=0)
        return found
