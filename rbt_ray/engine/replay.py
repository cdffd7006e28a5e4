"""Resuming a study is reading its journal through the same rule that wrote it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rbt_ray.engine.frontier import Frontier, ProposalBatch
from rbt_ray.engine.progress import Progress
from rbt_ray.errors import JournalError, StudyMismatchError
from rbt_ray.store import trust
from rbt_ray.store.journal import Asked, Event, Finished, Journal
from rbt_ray.types import BoolArray


def replay(journal: Journal, frontier: Frontier, progress: Progress) -> list[ProposalBatch]:
    """Brings a fresh searcher to where the study stopped; gives what was asked and did not finish.

    Raises:
        StudyMismatchError: the searcher, asked again, proposes something else than it did.
        JournalError: there are results of trials that were never asked for.
    """
    asked: list[ProposalBatch] = []
    finished: list[Finished] = []
    events = trust.trusted(journal.read("asked", "finished", *trust.KINDS))
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
    again = ProposalBatch.concat(asked)
    known = _check(events, again)
    if known < len(again):
        journal.append(again.rows(known, len(again)).to_event())
    done = np.zeros(len(again), dtype=bool)
    for event in finished:
        if event.trials.max() >= len(again):
            raise JournalError("the journal is damaged: it has results of trials that were never asked for.")
        done[event.trials] = True
    return list(_unfinished(again, done))


def _check(events: list[Event], again: ProposalBatch) -> int:
    """How many of the configs asked again the journal already knows; all of those must be the same."""
    known = 0
    for event in events:
        if isinstance(event, Asked):
            if again.rows(event.first, event.first + event.n).to_event() != event:
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
