"""Times of trials, from the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rbt_ray.store.journal import Finished, Journal

if TYPE_CHECKING:
    from rbt_ray.store.study_record import StudyRecord


def times_of(record: StudyRecord) -> dict[int, dict[str, float]]:
    """Returns when each trial was submitted, started and finished, in seconds since the epoch; a batch runs in order."""
    times: dict[int, dict[str, float]] = {}
    journal = Journal(record.folder)
    try:
        for event in journal.read("finished"):
            assert isinstance(event, Finished)
            at = event.started
            for trial, duration in zip(event.trials.tolist(), event.outcomes.duration_s.tolist(), strict=True):
                times[trial] = {"submitted": event.started, "started": at, "finished": at + duration}
                at += duration
    finally:
        journal.close()
    return times
