"""How results that break a constraint on metrics rank: behind all that satisfy it, by how far they break it."""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

from rbt_ray.search.scheduler import Rank
from rbt_ray.search.searcher import LearnsLosses, Sampler
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


def learn(sampler: Sampler, point: FloatArray, fidelity: float, loss: Rank, violation: float) -> None:
    """Reports a trial to a sampler: an infeasible one as such, or as not completed if the sampler cannot learn violations.

    Args:
        sampler: the sampler; it learns losses if the study has several metrics.
        point: ``(n_params,)``.
        fidelity: of the trial.
        loss: of a trial that is feasible and completed; None for all others.
        violation: how far the trial breaks the constraints.
    """
    if violation > 0 and isinstance(sampler, LearnsViolations):
        sampler.learn_infeasible(point, fidelity, violation)
    elif isinstance(loss, tuple):
        assert isinstance(sampler, LearnsLosses)
        sampler.learn_losses(point, fidelity, loss)
    else:
        sampler.learn(point, fidelity, math.nan if violation > 0 or loss is None else loss)
