"""What follows a search: configs for the verdict, a review of the best, the validation, and a check of the prices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from rbt_ray.engine.audit import VerdictTrials
from rbt_ray.engine.dispatcher import Dispatcher
from rbt_ray.engine.progress import Progress
from rbt_ray.engine.review import review_best
from rbt_ray.engine.stop_conditions import Interrupt
from rbt_ray.objectives.fingerprint.own_code import Source
from rbt_ray.pool.job import Task
from rbt_ray.pool.pool import Job, WorkerPool
from rbt_ray.search.fixed_sequence import FixedSequence
from rbt_ray.search.scheduled_search import ScheduledSearch
from rbt_ray.search.searcher import Searcher
from rbt_ray.store.continuation import in_current_space
from rbt_ray.store.journal import EndReason, Journal, Validated
from rbt_ray.store.table import TrialTable, table_of
from rbt_ray.store.trust import KINDS, UNCHECKED, evaluated_after_search, valid_events
from rbt_ray.study.draw import CAP
from rbt_ray.study.study import Study
from rbt_ray.tuner.changed_prices import check_prices
from rbt_ray.tuner.nested import NestedStudies
from rbt_ray.tuner.validation import Validation


@dataclass(frozen=True, slots=True, eq=False)
class AfterSearch:
    """Runs what follows the search of a study.

    Args:
        study: the study's definition.
        pool: idle workers.
        task: of the study.
        job: the task, packed.
        sources: the user's own modules.
        nested: runs studies within the study's folder; None for a study without prices.
        dispatcher: returns a dispatcher without trials.
        interrupt: set to stop the study.
        timeout_s: the time-out of a trial in seconds; None: no limit.
    """

    study: Study
    pool: WorkerPool
    task: Task
    job: Job
    sources: dict[str, Source]
    nested: NestedStudies | None
    dispatcher: Callable[[Literal["score", "sums"]], Dispatcher]
    interrupt: Interrupt
    timeout_s: float | None

    def run(self, reason: EndReason, searcher: Searcher, progress: Progress, journal: Journal) -> EndReason:
        """Runs it and checks the prices; returns why the run of the study ended.

        A search that is not done has its best trial evaluated for the verdict, and nothing more.
        """
        notes = searcher.notes if isinstance(searcher, (ScheduledSearch, FixedSequence)) else []
        progress.notes = [*notes, progress.stop_note] if progress.stop_note else notes
        study, nested = self.study, self.nested
        reviewed, validated = None, None
        is_done = reason == "done"
        has_all = 0 < study.n_planned <= CAP  # then all trials have their block sums
        evaluates = study.benchmark is not None and not has_all and reason != UNCHECKED
        reviews, validates = study.recheck > 0 and is_done, study.validation is not None and is_done
        if nested is not None and (evaluates or reviews or validates):
            read = journal.read("finished", "evaluated", *KINDS)
            events = valid_events(in_current_space(read, journal, study))
            table = table_of(events, study)
            if evaluates:
                progress.stage = "evaluating configs for the verdict"
                done, dispatcher = evaluated_after_search(events), self.dispatcher("sums")
                trials = VerdictTrials(table, done, dispatcher, journal, self.interrupt)
                if not (trials.evaluate_winner() and (not is_done or trials.evaluate_audit_set())):
                    return UNCHECKED
            if reviews:
                progress.stage = "re-running the best trials in detail"
                reviewed = review_best(table, nested.bundle, self.pool, self.job, self.interrupt, self.timeout_s)
            if validates:
                validated = self._validate(table, searcher, progress, nested)
                if validated is None:
                    return UNCHECKED
        if nested is not None and reason != UNCHECKED and not check_prices(self.pool, self.job, self.interrupt):
            return UNCHECKED
        for event in (reviewed, validated):
            if event is not None:
                journal.append(event)
        return reason

    def _validate(
        self, table: TrialTable, searcher: Searcher, progress: Progress, nested: NestedStudies
    ) -> Validated | None:
        validation = Validation(self.study, self.task, self.sources, nested, partial(setattr, progress, "stage"))
        learns = getattr(searcher, "learns", True)
        return validation.run(table, self.pool, self.interrupt, self.timeout_s, learns=learns)
