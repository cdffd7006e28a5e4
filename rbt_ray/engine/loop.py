"""The main loop: ask, record, run, record, tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from rbt_ray.engine.dispatcher import Dispatcher
from rbt_ray.engine.frontier import Frontier, ProposalBatch
from rbt_ray.engine.identical_failures import IdenticalFailures, is_drawn
from rbt_ray.engine.progress import Progress
from rbt_ray.engine.replay import replay
from rbt_ray.engine.stop_conditions import StopConditions, StopReason
from rbt_ray.errors import SearchStalledError
from rbt_ray.search.searcher import Searcher
from rbt_ray.store.journal import Finished, Journal
from rbt_ray.study.study import Study

_TICK_SECONDS = 0.1
_GRACE_SECONDS = 1.0


def run(
    study: Study,
    searcher: Searcher,
    dispatcher: Dispatcher,
    journal: Journal,
    stop_conditions: StopConditions,
    progress: Progress,
    on_finished: Callable[[Finished], None],
) -> Literal["done"] | StopReason:
    """Runs a study to its end, from the start or from the end of its journal.

    Args:
        study: the study's definition.
        searcher: a new searcher; replaying the journal restores its state.
        dispatcher: runs the trials.
        journal: records every event before the loop acts on it.
        stop_conditions: reasons to stop early.
        progress: counts the finished trials, those of earlier runs first.
        on_finished: called with every batch that finishes in this run, after it is recorded.

    Returns:
        "done" if the search is complete, else why it stopped.

    Raises:
        SearchStalledError: no trial is open, and the searcher proposes none although it is not done.
    """
    frontier = Frontier(study, searcher)

    failures = IdenticalFailures(study) if stop_conditions.on_identical_failures else None

    def record(returned: list[Finished]) -> None:
        finished = [event for event in returned if not is_drawn(event)]
        if failures is not None:
            for event in returned:
                failures.add(event)
        if finished:
            journal.append(*finished)
        for event in finished:
            frontier.finish(event)
            progress.finished(event)
        for event in finished:  # after all are recorded, because a callback may raise
            on_finished(event)

    def dispatch(batch: ProposalBatch) -> None:
        dispatcher.add(np.arange(batch.first, batch.first + len(batch), dtype=np.int64), batch.points, batch.fidelity)

    for batch in replay(journal, frontier, progress):
        dispatch(batch)
    if progress.n_failed < progress.n_done:  # an earlier run had results
        failures = None
    progress.start()
    while True:
        for batch in frontier.advance():
            journal.append(batch.to_event())
            dispatch(batch)
        dispatcher.more_to_come = not frontier.exhausted
        if frontier.done:
            if not dispatcher.idle:  # configs that `failures` has drawn
                dispatcher.drain(_GRACE_SECONDS)
            progress.stop_note = frontier.stop_note
            return "done"
        if frontier.n_open == 0 and not frontier.exhausted:
            raise SearchStalledError(
                f"the searcher {type(searcher).__name__} proposes nothing although no trial is open and it is not `done`."
            )
        reason = stop_conditions.reason(progress)
        if failures is not None:
            failures.draw(dispatcher)
            if reason is None and failures.note:
                reason, progress.stop_note = "identical_failures", failures.note
        if reason is not None:
            finished = dispatcher.drain(0.0 if stop_conditions.discards_results else _GRACE_SECONDS)
        else:
            finished = dispatcher.step(_TICK_SECONDS)
        if not stop_conditions.discards_results:
            record(finished)
        if reason is not None:
            return reason
