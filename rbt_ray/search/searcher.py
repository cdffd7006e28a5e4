"""What a searcher is: proposes configs when asked, learns when told, and does nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from rbt_ray.types import Proposal, Result


@runtime_checkable
class Searcher(Protocol):
    """Proposes configs; minimises `Result.loss`.

    A searcher is pure: the same seed and the same told results give the same proposals. It reads no clock, file or
    global random state, so that a study can be resumed by asking again.
    """

    @property
    def done(self) -> bool:
        """True when it will never propose again."""
        ...

    def ask(self, n: int) -> Sequence[Proposal]:
        """Up to `n` proposals; none means: waiting for results, or done. An empty ask changes nothing."""
        ...

    def tell(self, results: Sequence[Result]) -> None:
        """Learn from results; `loss` is None where a trial did not complete, or stopped by itself before its fidelity."""
        ...
