"""How results that break a constraint on metrics rank: behind all that satisfy it, by how far they break it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from rbt_ray.search.searcher import Sampler
from rbt_ray.types import BoolArray, FloatArray

_BEHIND = 1e300
"""Above every loss of a feasible trial; small enough that sums of some of them are finite."""


@runtime_checkable
class LearnsViolations(Protocol):
    """A sampler that learns how far a config breaks the constraints."""

    def learn_infeasible(self, point: FloatArray, fidelity: float, violation: float) -> None:
        """Learns from a trial that breaks constraints; `violation` is above 0, and larger for a worse one."""
        ...


def rank_as_loss(violation: float) -> float:
    """Returns a number that ranks an infeasible trial among losses, for rules that only compare losses."""
    return _BEHIND * (1 + violation)


def is_feasible(losses: FloatArray) -> BoolArray:
    """Returns ``(n,)`` which of these losses and ranks are losses of feasible trials."""
    feasible: BoolArray = losses < _BEHIND
    return feasible


def learn(sampler: Sampler, point: FloatArray, fidelity: float, loss: float, violation: float) -> None:
    """Reports a trial to a sampler: an infeasible one as such, or as not completed if the sampler cannot learn violations."""
    if violation > 0 and isinstance(sampler, LearnsViolations):
        sampler.learn_infeasible(point, fidelity, violation)
    else:
        sampler.learn(point, fidelity, float("nan") if violation > 0 else loss)
