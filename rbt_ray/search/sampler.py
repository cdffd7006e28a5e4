"""What a sampler is: it says which new config to try next; a scheduler says at which fidelity, and what goes on."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from rbt_ray.search.fixed_sequence import FixedSequence
from rbt_ray.types import FloatArray


@runtime_checkable
class Sampler(Protocol):
    """Proposes new configs as points of its space; pure and seeded, as a `Searcher` is."""

    def sample(self) -> FloatArray | None:
        """The next new config, ``(n_params,)`` in the space's canonical form; None when there is none left.

        A sampled point is pending until the first `learn` of it.
        """
        ...

    def learn(self, point: FloatArray, fidelity: float, loss: float) -> None:
        """What came of a point at a fidelity, told once a trial; `loss` is NaN where it did not complete.

        The point, in canonical form, may be of an earlier study and never sampled here: it is not sampled from then on.
        """
        ...


class SequenceSampler:
    """A fixed sequence of points as a sampler, which nobody's results can change."""

    def __init__(self, stream: FixedSequence) -> None:
        self._stream = stream
        self._told: set[bytes] = set()

    def sample(self) -> FloatArray | None:
        """See `Sampler`."""
        while len(points := self._stream.ask(1).points):
            point: FloatArray = points[0]
            if point.tobytes() not in self._told:
                return point
        return None

    def learn(self, point: FloatArray, fidelity: float, loss: float) -> None:  # noqa: ARG002  the protocol's
        """Nothing but that the point is known; see `Sampler`."""
        self._told.add(point.tobytes())
