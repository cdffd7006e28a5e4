"""The protocols of a search: a searcher proposes trials, and a sampler configs for which a scheduler chooses fidelities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from rbt_ray.search.scheduler import Losses
from rbt_ray.types import FloatArray, Proposal, Result


@runtime_checkable
class Searcher(Protocol):
    """Proposes configs; minimises `Result.loss`.

    A searcher is pure: the same seed and the same results give the same proposals. It reads no clock, file or global
    random state, so that a study can be resumed by asking again.
    """

    @property
    def done(self) -> bool:
        """Whether it will never propose again."""
        ...

    def ask(self, n: int) -> Sequence[Proposal]:
        """Returns up to `n` proposals; none if it waits for results or is done. An empty ask changes nothing."""
        ...

    def tell(self, results: Sequence[Result]) -> None:
        """Learns from results; `loss` is None if a trial did not complete, or stopped before its fidelity."""
        ...


@runtime_checkable
class Sampler(Protocol):
    """Proposes new configs as points of its space; pure and seeded, as a `Searcher` is."""

    def sample(self) -> FloatArray | None:
        """Returns the next new config, ``(n_params,)`` in the space's canonical form; None if there is none left.

        A sampled point is pending until `learn` is first called with it.
        """
        ...

    def learn(self, point: FloatArray, fidelity: float, loss: float) -> None:
        """Learns from one trial of a point at a fidelity; `loss` is NaN if the trial did not complete.

        The point, in canonical form, may come from an earlier study. It is not sampled afterwards.
        """
        ...


@runtime_checkable
class LearnsLosses(Protocol):
    """A sampler that learns the losses by several metrics."""

    def learn_losses(self, point: FloatArray, fidelity: float, losses: Losses) -> None:
        """Learns from a trial that completed; `losses` has one for each metric. See `Sampler.learn`."""
        ...
