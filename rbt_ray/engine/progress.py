"""Counts of a running study: finished and failed trials, the best metric, the pace."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from rbt_ray.monitoring import BATCH_SECONDS
from rbt_ray.pareto import non_dominated
from rbt_ray.store.journal import Finished
from rbt_ray.study.study import Study
from rbt_ray.types import COMPLETED, STATUSES, FloatArray, IntArray


@dataclass
class Progress:
    """Counts finished trials, for stop conditions and for display.

    Args:
        study: the study's definition.
        total: the number of trials the study will have; None if it is not known.
        n_done: recorded trials, including those of earlier runs.
        n_by_status: ``(4,)`` recorded trials by position in `types.STATUSES`, including those of earlier runs.
        n_infeasible: recorded trials that break a constraint on metrics.
        best: the metric of the best feasible trial at full fidelity so far; of several metrics, the first.
        front: ``(n, n_goals)`` losses of the feasible trials at full fidelity that no other one dominates; empty in a study of
            one metric.
        notes: decisions of the search, one sentence each; set when it has ended.
        stop_note: why the search stopped before its limits, as a sentence; "" if it did not.
        stage: the step after the search that is running; "" during the search.
        clock: a monotonic clock in seconds.
        n_batches: batches of this run by duration on their worker: up to each of `monitoring.BATCH_SECONDS`, and longer.
        batch_s: the sum of these durations, in seconds.
    """

    study: Study
    total: int | None = None
    n_done: int = 0
    n_by_status: IntArray = field(default_factory=lambda: np.zeros(len(STATUSES), np.int64))
    n_infeasible: int = 0
    best: float | None = None
    front: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    notes: Sequence[str] = ()
    stop_note: str = ""
    stage: str = ""
    clock: Callable[[], float] = time.monotonic
    began: float = field(init=False)
    n_before: int = 0
    n_batches: list[int] = field(init=False)
    batch_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Starts the clock; trials counted so far belong to earlier runs."""
        self.began, self.n_before = self.clock(), self.n_done
        self.n_batches, self.batch_s = [0] * (len(BATCH_SECONDS) + 1), 0.0

    def finished(self, event: Finished) -> None:
        """Counts the trials of a batch."""
        n = len(event.trials)
        self.n_done += n
        self.n_by_status += np.bincount(event.outcomes.status, minlength=len(STATUSES))
        self.n_batches[bisect_left(BATCH_SECONDS, event.wall_s)] += 1
        self.batch_s += event.wall_s
        loss = self.study.loss_of(event.outcomes.metrics, n)
        loss[list(event.outcomes.shares)] = np.nan
        violation = self.study.violation(event.points, event.outcomes, event.fidelity)
        if violation is not None:
            self.n_infeasible += int((violation > 0).sum())
            loss[violation > 0] = np.nan
        there = loss[~np.isnan(loss)]
        if event.fidelity == 1.0 and len(there):
            value = float(there.min()) * (-1.0 if self.study.mode == "max" else 1.0)
            better = max if self.study.mode == "max" else min
            self.best = value if self.best is None else better(self.best, value)
            if self.study.further_goals:
                self._add_to_front(self.study.losses_of(event.outcomes.metrics, n)[~np.isnan(loss)])

    def _add_to_front(self, losses: FloatArray) -> None:
        together = np.concatenate([self.front, losses]) if len(self.front) else losses
        self.front = together[non_dominated(together)]

    @property
    def n_failed(self) -> int:
        """Recorded trials that did not complete."""
        return self.n_done - int(self.n_by_status[COMPLETED])

    def best_values(self) -> dict[str, float]:
        """Returns the best value of each metric that the study optimizes; empty before the first feasible trial."""
        study, front = self.study, self.front
        if not study.further_goals:
            return {} if self.best is None else {study.metric: self.best}
        if not len(front):
            return {}
        # The best trial by one metric alone is dominated at most by others that are as good by it.
        least = front.min(axis=0).tolist()
        return {
            goal.metric: -loss if goal.mode == "max" else loss for goal, loss in zip(study.goals, least, strict=True)
        }

    @property
    def wall_s(self) -> float:
        """Seconds since this run started."""
        return self.clock() - self.began

    @property
    def trials_per_s(self) -> float:
        """Trials per second of this run."""
        return (self.n_done - self.n_before) / max(self.wall_s, 1e-9)
