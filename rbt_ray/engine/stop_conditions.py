"""When to stop before the search is done."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event
from typing import Literal, TypeAlias

from rbt_ray.engine.progress import Progress

StopReason: TypeAlias = Literal["interrupted", "max_failures", "time_budget"]
"""Why a run stops before its search is complete."""


class Interrupt(Event):
    """Set from outside, to stop a study.

    `discards_results` is True where the terminal was closed: an objective that prints fails from then on, so that no
    result that arrives later may be recorded.
    """

    discards_results = False


@dataclass(frozen=True, slots=True)
class StopConditions:
    """What ends a run early; a study stopped so can be resumed.

    Args:
        time_budget_s: seconds from the start of this run.
        max_failures: trials that may fail.
        interrupt: set from outside, as by Ctrl-C.
    """

    time_budget_s: float | None
    max_failures: int | None
    interrupt: Event

    @property
    def discards_results(self) -> bool:
        """Whether trials that finish now must run again when the study is resumed."""
        return isinstance(self.interrupt, Interrupt) and self.interrupt.discards_results

    def reason(self, progress: Progress) -> StopReason | None:
        """Returns why to stop now; None to continue."""
        if self.interrupt.is_set():
            return "interrupted"
        if self.max_failures is not None and progress.n_failed > self.max_failures:
            return "max_failures"
        if self.time_budget_s is not None and progress.wall_s >= self.time_budget_s:
            return "time_budget"
        return None
