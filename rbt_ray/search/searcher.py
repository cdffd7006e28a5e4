"""The searcher protocol: propose configs, learn from results, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from rbt_ray.types import Proposal, Result


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
