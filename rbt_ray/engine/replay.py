"""Restores the state of a search by applying the rule of the main loop to the events of the journal."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rbt_ray.engine.frontier import Frontier, ProposalBatch
from rbt_ray.engine.progress import Progress
from rbt_ray.errors import JournalError, StudyMismatchError
from rbt_ray.store import trust
from rbt_ray.store.continuation import in_current_space
from rbt_ray.store.journal import Asked, Event, Finished, Journal
from rbt_ray.types import BoolArray


def replay(journal: Journal, frontier: Frontier, progress: Progress) -> list[ProposalBatch]:
    """Replays the journal to a new searcher; returns the proposals that have not finished.

    Raises:
        StudyMismatchError: the searcher proposes other configs than in the recorded run.
        JournalError: the journal has results of trials that were never proposed.
    """
    asked: list[ProposalBatch] = []
    finished: list[Finished] = []
    read = journal.read("asked", "finished", *trust.KINDS)
    events = trust.valid_events(in_current_space(read, journal, progress.study))
    for event in events:
        if not isinstance(event, Finished):
            continue
        asked += frontier.advance()
        finished.append(event)
        frontier.finish(event)
        progress.finished(event)
    asked += frontier.advance()
    if not asked:
        return []
    proposed = ProposalBatch.concat(asked)
    known = _check(events, proposed)
    if known < len(proposed):
        journal.append(proposed.rows(known, len(proposed)).to_event())
    done = np.zeros(len(proposed), dtype=bool)
    for event in finished:
        if event.trials.max() >= len(proposed):
            raise JournalError("the journal is damaged: it has results of trials that were never proposed.")
        done[event.trials] = True
    return list(_unfinished(proposed, done))


def _check(events: list[Event], proposed: ProposalBatch) -> int:
    """Compares the proposals with the recorded digests; returns how many of them the journal has recorded."""
    known = 0
    for event in events:
        if isinstance(event, Asked):
            if proposed.rows(event.first, event.first + event.n).to_event() != event:
                raise StudyMismatchError(
                    f"the searcher proposes other configs than it did when the study ran (from trial {event.first}): "
                    f"its code, its seed or a library it uses has changed. Begin a new study under another name."
                )
            known = event.first + event.n
    return known


def _unfinished(asked: ProposalBatch, done: BoolArray) -> Iterator[ProposalBatch]:
    missing = np.flatnonzero(~done)
    for rows in np.split(missing, np.flatnonzero(np.diff(missing) > 1) + 1):
        if len(rows):
            yield asked.rows(int(rows[0]), int(rows[-1]) + 1)
