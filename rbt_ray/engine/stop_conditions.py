"""When to stop a run before the search is complete."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event
from typing import Literal, TypeAlias

from rbt_ray.engine.progress import Progress

StopReason: TypeAlias = Literal["interrupted", "max_failures", "time_budget"]
"""Why a run stops before its search is complete."""


class Interrupt(Event):
    """An event that stops a study when it is set.

    `discards_results` is True after the terminal was closed: an objective that prints fails from then on, so later results
    must not be recorded.
    """

    discards_results = False


@dataclass(frozen=True, slots=True)
class StopConditions:
    """The conditions that stop a run early. The study can be resumed.

    Args:
        time_budget_s: seconds that this run may take; None: no limit.
        max_failures: the number of trials that may fail; None: no limit.
        interrupt: set by Ctrl-C, for example.
    """

    time_budget_s: float | None
    max_failures: int | None
    interrupt: Event

    @property
    def discards_results(self) -> bool:
        """Whether results that arrive now are discarded; their trials run again when the study is resumed."""
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
