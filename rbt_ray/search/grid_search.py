"""All configs of a finite space, in order."""

from __future__ import annotations

from collections.abc import Sequence

from rbt_ray.search.fixed_sequence import FixedSequence, nothing_allowed
from rbt_ray.study.space import Space
from rbt_ray.types import Config, FloatArray


class GridSearch(FixedSequence):
    """All configs once, the last parameter changing fastest. Rows are generated on demand, so a grid takes no memory.

    Raises:
        SpaceError: as `FixedSequence`; or a parameter has infinitely many values.
    """

    def __init__(
        self, space: Space, *, limit: int | None = None, seed: int = 0, points_to_evaluate: Sequence[Config] = ()
    ) -> None:
        self._size = space.grid_size
        self._row = 0
        super().__init__(space, limit=limit, seed=seed, points_to_evaluate=points_to_evaluate)

    def _next_block(self, n: int) -> FloatArray | None:
        space = self._space
        if self._row >= self._size:
            if not self._any_allowed:
                raise nothing_allowed(space, self._size)
            return None
        points = space.grid(self._row, self._row + n)
        self._row += n
        if space.conditions or space.is_restricted:
            points = space.canonical(points[space.allowed(points) & space.is_representative(points)])
        self._any_allowed |= len(points) > 0
        return points[~self._seen.has(space.digests(points))] if len(self._seen) else points
