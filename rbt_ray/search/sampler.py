"""The sampler protocol: which new config to try next. A scheduler decides on its fidelities."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from rbt_ray.search.fixed_sequence import FixedSequence
from rbt_ray.types import FloatArray


@runtime_checkable
class Sampler(Protocol):
    """Proposes new configs as points of its space; pure and seeded, as a `Searcher` is."""

    def sample(self) -> FloatArray | None:
        """Returns the next new config, ``(n_params,)`` in the space's canonical form; None if there is none left.

        A sampled point is pending until the first `learn` of it.
        """
        ...

    def learn(self, point: FloatArray, fidelity: float, loss: float) -> None:
        """Learns from one trial of a point at a fidelity; `loss` is NaN if the trial did not complete.

        The point, in canonical form, may come from an earlier study. It is not sampled afterwards.
        """
        ...


class SequenceSampler:
    """A sampler that takes its points from a fixed sequence and ignores losses."""

    def __init__(self, sequence: FixedSequence) -> None:
        self._sequence = sequence
        self._known: set[bytes] = set()

    @property
    def notes(self) -> list[str]:
        """See `FixedSequence`."""
        return self._sequence.notes

    def sample(self) -> FloatArray | None:
        """See `Sampler`."""
        while len(points := self._sequence.ask(1).points):
            point: FloatArray = points[0]
            if point.tobytes() not in self._known:
                return point
        return None

    def learn(self, point: FloatArray, fidelity: float, loss: float) -> None:  # noqa: ARG002  the protocol's
        """Records that the point is known; see `Sampler`."""
        self._known.add(point.tobytes())
