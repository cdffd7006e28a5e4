"""What searches do about configs that break constraints.

A config that breaks a constraint on metrics ranks behind all that satisfy it, by how far it breaks it. A constraint on
parameters is known before a config is evaluated: a suggestion that breaks one is replaced by an allowed config near it, and
a proposal of a searcher that does not know the constraints is not evaluated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from rbt_ray.errors import SpaceError
from rbt_ray.search.random_draws import RandomSearch
from rbt_ray.search.scheduler import Rank
from rbt_ray.search.searcher import LearnsLosses, Sampler, Searcher
from rbt_ray.study.domains import Choice
from rbt_ray.study.space import Space
from rbt_ray.types import BoolArray, FloatArray, Proposal, Result

_BEHIND = 1e300
"""Above every loss of a feasible trial; small enough that sums of some of them are finite."""
_POOL = 256
_TRIES = 1000
"""How many asks in a row may give only proposals that are not allowed."""


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


class Replacements:
    """Random allowed configs, each given once: the nearest of up to 256 to a suggestion.

    So a model that does not know the constraints still leads the search. The distance is Euclidean over the levels of numbers; two
    options, and a parameter that only one config has, are 1 apart.

    Args:
        space: the space, with its constraints.
        seed: the seed of the random configs.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._random = RandomSearch(space, seed=seed)
        self._pool = np.empty((0, space.n_params))
        self._choices = [column for column, domain in enumerate(space.domains) if isinstance(domain, Choice)]

    def nearest(self, suggestion: FloatArray) -> FloatArray | None:
        """Returns the config nearest to a point ``(1, n_params)``, of the same shape; None if all were given.

        Raises:
            SpaceError: practically no config of the space is allowed.
        """
        new = self._random.ask(_POOL - len(self._pool)).points
        self._pool = np.concatenate([self._pool, new])
        if not len(self._pool):
            return None
        apart = np.abs(self._space.to_unit(self._pool) - self._space.to_unit(suggestion))
        apart[:, self._choices] = self._pool[:, self._choices] != suggestion[:, self._choices]
        there, here = np.isnan(self._pool), np.isnan(suggestion)
        apart[there | here] = 1.0
        apart[there & here] = 0.0
        row = int(np.argmin((apart**2).sum(axis=1)))
        found = self._pool[row : row + 1]
        self._pool = np.delete(self._pool, row, axis=0)
        return found


class ConstrainedSearcher:
    """A searcher of the user's in a space with constraints.

    A proposal that breaks one is reported to the searcher at once, as a trial that failed: it is not a trial of the study.

    Args:
        space: the space, with its constraints.
        searcher: the searcher.
    """

    def __init__(self, space: Space, searcher: Searcher) -> None:
        self._space, self._searcher = space, searcher
        self.learns: bool = getattr(searcher, "learns", True)

    @property
    def done(self) -> bool:
        """See `Searcher`."""
        return self._searcher.done

    def ask(self, n: int) -> Sequence[Proposal]:
        """See `Searcher`.

        Raises:
            SpaceError: the searcher proposes a config that is not in the space, or only configs that break a constraint.
        """
        for _ in range(_TRIES):
            proposals = list(self._searcher.ask(n))
            points = self._space.without_constraints.encode([proposal.config for proposal in proposals])
            allowed = self._space.allowed(points).tolist()
            excluded = [proposal for proposal, ok in zip(proposals, allowed, strict=True) if not ok]
            if excluded:
                self._searcher.tell([_refused(proposal) for proposal in excluded])
            if len(excluded) < len(proposals) or not proposals or self._searcher.done:
                return [proposal for proposal, ok in zip(proposals, allowed, strict=True) if ok]
        raise SpaceError(
            f"`search_alg` proposed only configs that break a constraint {_TRIES:,} times in a row; loosen the constraints, or "
            f"let {type(self._searcher).__name__} propose allowed configs."
        )

    def tell(self, results: Sequence[Result]) -> None:
        """See `Searcher`."""
        self._searcher.tell(results)


def _refused(proposal: Proposal) -> Result:
    return Result(
        trial_id=-1,
        config=proposal.config,
        fidelity=proposal.fidelity,
        status="FAILED",
        metrics={},
        error="the config breaks a constraint on parameters, so it was not evaluated.",
        loss=None,
        duration_s=0.0,
        worker="",
        tag=proposal.tag,
        violation=1.0,
    )
