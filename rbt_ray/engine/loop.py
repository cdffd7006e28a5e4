"""The loop: ask, write down, run, write down, tell."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rbt_ray.engine.dispatcher import Dispatcher
from rbt_ray.engine.frontier import Block, Frontier
from rbt_ray.engine.replay import replay
from rbt_ray.engine.stop_conditions import Limits
from rbt_ray.engine.watch import Watch
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
    limits: Limits,
    watch: Watch,
    on_finished: Callable[[Finished], None],
) -> str:
    """Runs a study to its end, or from where its journal stops.

    Args:
        study: the definition.
        searcher: fresh; the journal brings it to where the study stopped.
        dispatcher: runs trials.
        journal: has every event before anybody acts on it.
        limits: when to stop early.
        watch: is told what finishes, recorded results first.
        on_finished: called with every batch that finishes in this run, after it was recorded.

    Returns:
        "done", or why it stopped: "interrupted", "max_failures", "time_budget".

    Raises:
        SearchStalledError: the searcher proposes nothing, waits for nothing and is not done.
    """
    frontier = Frontier(study, searcher)

    def record(finished: list[Finished]) -> None:
        for event in finished:
            journal.append(event)
            frontier.finish(event)
            watch.finished(event)
        for event in finished:  # all are recorded before a callback may raise
            on_finished(event)

    def dispatch(block: Block) -> None:
        dispatcher.add(np.arange(block.first, block.first + len(block), dtype=np.int64), block.points, block.fidelity)

    for block in replay(journal, frontier, watch):
        dispatch(block)
    watch.start()
    while True:
        for block in frontier.advance():
            journal.append(block.asked())
            dispatch(block)
        if frontier.done:
            return "done"
        if frontier.n_open == 0 and not frontier.exhausted:
            raise SearchStalledError(
                f"the searcher {type(searcher).__name__} proposes nothing, waits for no result and is not `done`."
            )
        if (reason := limits.reason(watch)) is not None:
            finished = dispatcher.drain(0.0 if limits.discards_results else _GRACE_SECONDS)
        else:
            finished = dispatcher.step(_TICK_SECONDS)
        if not limits.discards_results:
            record(finished)
        if reason is not None:
            return reason
