"""A search that proposes given configs, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rbt_ray.columns import Proposals
from rbt_ray.study.space import Space
from rbt_ray.types import FloatArray, Result


class FixedConfigs:
    """Proposes the rows of `points`, ``(n_configs, n_params)``, at full fidelity."""

    learns: ClassVar[bool] = False

    def __init__(self, space: Space, points: FloatArray) -> None:
        self._space = space
        self._left = points

    @property
    def done(self) -> bool:
        """Whether all have been proposed."""
        return not len(self._left)

    def ask(self, n: int) -> Proposals:
        """Returns the next `n` configs, or all that are left."""
        points, self._left = self._left[:n], self._left[n:]
        return Proposals.at_full_fidelity(points, self._space)

    def tell(self, results: Sequence[Result]) -> None:
        """Does nothing: the configs are given."""
