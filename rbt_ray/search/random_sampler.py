"""Random search, for schedulers."""

from __future__ import annotations

from rbt_ray.search.random_search import RandomSearch
from rbt_ray.study.space import Space
from rbt_ray.types import FloatArray


class RandomSampler:
    """Independent random configs, each once, as `RandomSearch` draws them.

    Args:
        space: what to search.
        seed: everything random follows from it.
    """

    def __init__(self, space: Space, *, seed: int = 0) -> None:
        self._drawn = RandomSearch(space, seed=seed)
        self._told: set[bytes] = set()

    def sample(self) -> FloatArray | None:
        """See `Sampler`."""
        while not self._drawn.done:
            point: FloatArray = self._drawn.ask(1).points[0]
            if point.tobytes() not in self._told:
                return point
        return None

    def learn(self, point: FloatArray, fidelity: float, loss: float) -> None:  # noqa: ARG002  the protocol's
        """Nothing but that the point is known; see `Sampler`."""
        self._told.add(point.tobytes())
