"""The figures of a running study, from its events in the order in which the journal has them."""

from __future__ import annotations

import copy
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from rbt_ray.errors import InputError, JournalError
from rbt_ray.recordable import text as recordable_text
from rbt_ray.search.planned import planned_trials
from rbt_ray.store import trust
from rbt_ray.store.continuation import extended
from rbt_ray.store.journal import Distrusted, Ended, Evaluated, Event, Extended, Finished, Reviewed, Validated
from rbt_ray.study.study import Study
from rbt_ray.types import COMPLETED, STATUSES, Config, FloatArray, IntArray

MOST_CAUSES = 1_000
MOST_STEPS = 400
_LONGEST_CAUSE = 200
_PACE_SECONDS = 30.0
_OTHER = "other errors"
_AFTER = {Evaluated: "comparing with chance", Reviewed: "reviewing the best", Validated: "validating"}


@dataclass(frozen=True, slots=True)
class Best:
    """The best feasible trial at full fidelity: its number, loss and config, and its metrics that are numbers."""

    trial: int
    loss: float
    config: Config
    metrics: dict[str, float]


@dataclass
class Figures:
    """Counts what a study's events say; adding an event costs no more than the event is long.

    Args:
        study: the study's definition, with the extensions that were added.
        n_done: recorded trials that are valid.
        n_by_status: ``(4,)`` these by position in `types.STATUSES`.
        n_infeasible: these that break a constraint on metrics.
        n_withdrawn: results that were withdrawn because the prices changed.
        best: the best trial so far; None before the first.
        steps: pairs of `n_done` and the best metric then, for each time that it improved; thinned out if there are many.
        causes: failed trials by the last line of their error.
        ended: how the last run ended; None while the study runs, or if its driver died.
        stage: the step after the search that was recorded last; "" during the search.
        finished: when the last batch finished, in seconds since the epoch; None before it.
    """

    study: Study
    n_done: int = 0
    n_by_status: IntArray = field(default_factory=lambda: np.zeros(len(STATUSES), np.int64))
    n_infeasible: int = 0
    n_withdrawn: int = 0
    best: Best | None = None
    steps: list[tuple[int, float]] = field(default_factory=list)
    causes: Counter[str] = field(default_factory=Counter)
    ended: Ended | None = None
    stage: str = ""
    finished: float | None = None
    _recent: deque[tuple[float, float, int]] = field(default_factory=deque)
    _checked: Figures | None = None

    @property
    def total(self) -> int | None:
        """How many trials the study will have; None if it is not known, or if the search is of a package that is missing here."""
        with suppress(InputError, JournalError):
            return planned_trials(self.study)
        return None

    @property
    def sign(self) -> float:
        """What a loss is multiplied by to give the metric."""
        return -1.0 if self.study.mode == "max" else 1.0

    @property
    def trials_per_s(self) -> float | None:
        """Trials per second of the last half minute that has results; None before the first batch of this run."""
        if not self._recent:
            return None
        last = max(end for _, end, _ in self._recent)
        kept = [one for one in self._recent if one[1] >= last - _PACE_SECONDS]
        return sum(n for _, _, n in kept) / max(last - min(start for start, _, _ in kept), 1e-9)

    def add(self, event: Event) -> None:
        """Adds the next event of the journal.

        Raises:
            JournalError: the event is an extension that is not of this study.
        """
        if isinstance(event, Distrusted):
            self._withdraw()
            return
        if isinstance(event, Finished):
            self._add_trials(event)
        elif isinstance(event, Extended):
            self.study, self.stage, self.ended = extended(self.study, event), "", None
        elif isinstance(event, Ended):
            self.ended, self.stage = event, ""
            self._recent.clear()
            if event.reason != trust.UNCHECKED:
                self._keep_checked()
        else:
            self.stage, self.ended = _AFTER.get(type(event), self.stage), None

    def _add_trials(self, event: Finished) -> None:
        self.ended, self.stage = None, ""
        end = event.started + event.wall_s
        self.finished = end if self.finished is None else max(self.finished, end)
        n = len(event.trials)
        self._recent.append((event.started, end, n))
        while self._recent[0][1] < self.finished - _PACE_SECONDS:
            self._recent.popleft()
        self._count_errors(event)
        loss = self.study.loss_of(event.outcomes.metrics, n)
        loss[event.outcomes.status != COMPLETED] = np.nan
        loss[list(event.outcomes.shares)] = np.nan
        violation = self.study.violation(event.points, event.outcomes, event.fidelity)
        if violation is not None:
            self.n_infeasible += int((violation > 0).sum())
            loss[violation > 0] = np.nan
        if event.fidelity == 1.0 and not np.isnan(loss).all():
            self._improve(event, loss)
        self.n_done += n

    def _improve(self, event: Finished, loss: FloatArray) -> None:
        before = np.inf if self.best is None else self.best.loss
        best = np.minimum.accumulate(np.append(before, np.where(np.isnan(loss), np.inf, loss)))
        for row in np.flatnonzero(best[1:] < best[:-1]).tolist():
            self.steps.append((self.n_done + row + 1, self.sign * float(loss[row])))
        if len(self.steps) > MOST_STEPS:
            self.steps = [*self.steps[:-1:2], self.steps[-1]]
        least = float(np.nanmin(loss))
        at = np.flatnonzero(loss == least)
        row = int(at[np.argmin(event.trials[at])])
        trial = int(event.trials[row])
        if self.best is not None and (least, trial) >= (self.best.loss, self.best.trial):
            return
        [config] = self.study.space.decode(event.points[row : row + 1])
        metrics = {
            name: float(column.numbers()[row])
            for name, column in event.outcomes.metrics.items()
            if column.kind != "json" and column.present[row]
        }
        self.best = Best(trial, least, config, metrics)

    def _count_errors(self, event: Finished) -> None:
        self.n_by_status += np.bincount(event.outcomes.status, minlength=len(STATUSES))
        for row, text in event.outcomes.errors.items():
            if event.outcomes.status[row] == COMPLETED:
                continue
            lines = text.strip().splitlines()
            cause = recordable_text(lines[-1].strip()[:_LONGEST_CAUSE]) if lines else _OTHER
            if cause not in self.causes and len(self.causes) >= MOST_CAUSES:
                cause = _OTHER
            self.causes[cause] += 1

    def _keep_checked(self) -> None:
        self._checked = None
        self._checked = copy.deepcopy(self)

    def _withdraw(self) -> None:
        """Returns to the figures at the last check of the prices that passed."""
        n_before, n_withdrawn, study = self.n_done, self.n_withdrawn, self.study
        kept = self._checked or Figures(study)
        self.__dict__.update(copy.deepcopy(kept).__dict__)
        self.study = study
        self.n_withdrawn = n_withdrawn + n_before - self.n_done
        self._keep_checked()
