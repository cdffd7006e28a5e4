"""Keeps proposals that break a constraint, of a searcher that does not know the constraints, from being evaluated."""

from __future__ import annotations

from collections.abc import Sequence

from rbt_ray.errors import SpaceError
from rbt_ray.search.searcher import Searcher
from rbt_ray.study.space import Space
from rbt_ray.types import Proposal, Result

_TRIES = 1000
"""How many asks in a row may give only proposals that are not allowed."""


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
