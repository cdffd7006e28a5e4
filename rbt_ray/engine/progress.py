"""What a running study looks like from outside: counts, the best so far, how busy the workers are."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from rbt_ray.store.journal import Finished
from rbt_ray.study.study import Study
from rbt_ray.types import COMPLETED


@dataclass
class Progress:
    """Counts what finished, for stop conditions and for people.

    Args:
        study: what is watched.
        total: how many trials there will be; None where nobody knows yet.
        n_done: trials recorded, those of earlier runs of the study included.
        n_failed: those that did not complete.
        best: the study's metric of the best trial at full fidelity so far.
        notes: what the search decided, a sentence each; known when it ended.
        stage: what goes on after the search, for people; "" during it.
        clock: seconds from any start, as `time.monotonic` has them.
    """

    study: Study
    total: int | None = None
    n_done: int = 0
    n_failed: int = 0
    best: float | None = None
    notes: Sequence[str] = ()
    stage: str = ""
    clock: Callable[[], float] = time.monotonic
    began: float = field(init=False)
    n_before: int = 0

    def __post_init__(self) -> None:
        self.began = self.clock()

    def start(self) -> None:
        """What finished until now belongs to earlier runs; the clock starts."""
        self.began, self.n_before = self.clock(), self.n_done

    def finished(self, event: Finished) -> None:
        """Takes in a batch."""
        n = len(event.trials)
        self.n_done += n
        self.n_failed += int((event.outcomes.status != COMPLETED).sum())
        loss = self.study.loss_of(event.outcomes.metrics, n)
        loss[list(event.outcomes.shares)] = np.nan
        if event.fidelity == 1.0 and not np.isnan(loss).all():
            value = float(np.nanmin(loss)) * (-1.0 if self.study.mode == "max" else 1.0)
            better = max if self.study.mode == "max" else min
            self.best = value if self.best is None else better(self.best, value)

    @property
    def wall_s(self) -> float:
        """Seconds since this run of the study started."""
        return self.clock() - self.began

    @property
    def trials_per_s(self) -> float:
        """Trials this run finished in a second."""
        return (self.n_done - self.n_before) / max(self.wall_s, 1e-9)
