"""A study as its journal records it: what reports, exports and the ResultGrid show."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rbt_ray.store import trust
from rbt_ray.store.feasibility import Feasibility, feasibility_of
from rbt_ray.store.journal import Ended, Journal, Reviewed
from rbt_ray.store.table import TrialTable, table_of
from rbt_ray.study.study import Study
from rbt_ray.types import COMPLETED, STATUSES


@dataclass(frozen=True, slots=True, eq=False)
class StudyRecord:
    """The finished trials of a study and how its runs ended.

    Args:
        folder: the study's folder.
        table: all finished trials, with the study's definition.
        review: the best trials in detail, at order level and on the hold-out; None before the study is done.
        runs: how each run ended; more than one if the study was resumed.
    """

    folder: Path
    table: TrialTable
    review: Reviewed | None
    runs: list[Ended]

    def __len__(self) -> int:
        return len(self.table)

    @property
    def study(self) -> Study:
        """The study's definition."""
        return self.table.study

    @property
    def is_done(self) -> bool:
        """Whether the search ran to its end."""
        return any(run.reason == "done" for run in self.runs)

    @property
    def num_errors(self) -> int:
        """The number of trials that did not complete."""
        return int((self.table.outcomes.status != COMPLETED).sum())

    @property
    def num_terminated(self) -> int:
        """The number of trials that completed."""
        return len(self) - self.num_errors

    @property
    def notes(self) -> list[str]:
        """The decisions of the search, a sentence each: what "auto" chose, which fidelities were skipped."""
        why = [self.study.why] if self.study.why else []
        return why + (self.runs[-1].notes if self.runs else []) + self.stopped_notes() + self.constraint_notes()

    def status_counts(self) -> dict[str, int]:
        """Returns the number of trials with each status."""
        status = self.table.outcomes.status
        return {name: int((status == code).sum()) for code, name in enumerate(STATUSES)}

    def constraint_notes(self) -> list[str]:
        """Returns what the constraints exclude, a sentence each; an empty list for a study without constraints."""
        if not (self.study.constraints or self.study.space.constraints):
            return []
        return list(self.feasibility.sentences(self.study))

    @property
    def feasibility(self) -> Feasibility:
        """How many trials are infeasible, and by which constraint."""
        return feasibility_of(self.table)

    def stopped_notes(self) -> list[str]:
        """Returns a sentence about the trials that stopped by themselves; an empty list if there are none."""
        shares = self.table.outcomes.shares
        if not shares:
            return []
        most = math.floor(100 * max(shares.values()))  # 99.9 % must not be shown as 100 %
        return [
            f"{len(shares):,} of {len(self):,} trials stopped by themselves, after at most {most}% of the requested work, so "
            f"none of them can be the best. An objective that has finished its work reports "
            f"`rbt.report(..., share=1.0)`."
        ]


def read_study(folder: Path, study: Study | None = None) -> StudyRecord:
    """Reads a study from its journal.

    Args:
        folder: the study's folder.
        study: the definition, if the caller has it; None reads it from the journal.

    Raises:
        StudyNotFoundError: there is no journal in the folder.
        JournalError: the journal is damaged.
        SpaceError: the space holds options that only Python code can provide.
    """
    with closing(Journal(folder)) as journal:
        study = study or Study.from_json(journal.definition)
        events = list(journal.read("finished", "reviewed", *trust.KINDS))
    reviews = [event for event in trust.valid_events(events) if isinstance(event, Reviewed)]
    return StudyRecord(
        folder,
        table_of(trust.valid_or_failed_events(events), study),
        reviews[-1] if reviews else None,
        [event for event in events if isinstance(event, Ended)],
    )
