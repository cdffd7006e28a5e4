"""Independent random configs."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from rbt_ray.search.random_draws import UniqueDraws
from rbt_ray.types import FloatArray


class RandomSearch(UniqueDraws):
    """Independent draws from the domains, without repeats. See `UniqueDraws` and `FixedSequence`."""

    @cached_property
    def _rng(self) -> np.random.Generator:
        return np.random.default_rng([self._seed, 0x7A2D])

    def _unit_points(self, n: int) -> FloatArray:
        return self._rng.random((n, self._space.n_params))
