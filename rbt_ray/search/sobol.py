"""Configs that cover the space more evenly than random ones."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from rbt_ray.errors import SpaceError
from rbt_ray.search.random_draws import UniqueDraws
from rbt_ray.study.space import Space
from rbt_ray.types import Config, FloatArray

if TYPE_CHECKING:
    from scipy.stats.qmc import Sobol

_MOST_PARAMS = 21201  # scipy has direction numbers for so many
_BITS = 53


class SobolSearch(UniqueDraws):
    """A scrambled Sobol sequence through the unit cube. See `UniqueDraws` and `FixedSequence`.

    Raises:
        SpaceError: as `UniqueDraws`; or there are more than 21201 parameters.

    Source:
        Joe and Kuo (2008), "Constructing Sobol sequences with better two-dimensional projections", SIAM Journal on
        Scientific Computing 30, 2635-2654; Owen (1998), "Scrambling Sobol and Niederreiter-Xing points".
    """

    def __init__(
        self, space: Space, *, limit: int | None = None, seed: int = 0, points_to_evaluate: Sequence[Config] = ()
    ) -> None:
        if space.n_params > _MOST_PARAMS:
            raise SpaceError(
                f"a Sobol sequence has at most {_MOST_PARAMS} parameters; the space has {space.n_params}. "
                f"Use search_alg='random'."
            )
        super().__init__(space, limit=limit, seed=seed, points_to_evaluate=points_to_evaluate)

    @cached_property
    def _sequence(self) -> Sobol:
        from scipy.stats.qmc import Sobol

        return Sobol(self._space.n_params, bits=_BITS, seed=np.random.default_rng([self._seed, 0x50B0]))

    def _unit_points(self, n: int) -> FloatArray:
        # n is a power of 2, as the balance of the sequence needs it
        return self._sequence.random(n) if self._space.n_params else np.empty((n, 0))
