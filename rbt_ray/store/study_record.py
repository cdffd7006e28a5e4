"""A study as its journal records it: what reports, exports and the ResultGrid show."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from rbt_ray.block_sums import N_SUMS, Benchmark, BlockSums, block_lengths
from rbt_ray.errors import NoResultError
from rbt_ray.store import trust
from rbt_ray.store.continuation import in_current_space, since_extension, study_of
from rbt_ray.store.failures import by_cause, sentence
from rbt_ray.store.feasibility import Feasibility, feasibility_of
from rbt_ray.store.journal import Ended, Evaluated, Finished, Journal, Reviewed, Validated
from rbt_ray.store.table import TrialTable, table_of
from rbt_ray.study.draw import AUDIT_FIRST, is_drawn
from rbt_ray.study.study import Study
from rbt_ray.types import COMPLETED, STATUSES, BoolArray, IntArray


@dataclass(frozen=True, eq=False)
class StudyRecord:
    """The finished trials of a study and how its runs ended.

    Args:
        folder: the study's folder.
        table: all finished trials, with the study's definition.
        review: the best trials in detail, at order level and on the hold-out; None before the study is done.
        runs: how each run ended; more than one if the study was resumed.
        evaluated: the batches that were evaluated after the search.
        validated: the search on the windows of its validation; None without, or before the study is done.
        is_done: whether the search ran to its end, that of its last extension.
    """

    folder: Path
    table: TrialTable
    review: Reviewed | None
    runs: list[Ended]
    evaluated: list[Evaluated] = field(default_factory=list)
    validated: Validated | None = None
    is_done: bool = False

    def __len__(self) -> int:
        return len(self.table)

    @property
    def study(self) -> Study:
        """The study's definition."""
        return self.table.study

    @cached_property
    def best_row(self) -> IntArray:
        """``(1,)`` the row of the best trial in the table; ``(0,)`` without one."""
        return self.table.ranking(1)

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
        """The decisions of the search, one sentence each: what "auto" chose, which fidelities were skipped."""
        why = [self.study.why] if self.study.why else []
        return why + (self.runs[-1].notes if self.runs else []) + self.stopped_notes() + self.constraint_notes()

    @property
    def audit(self) -> TrialTable | None:
        """The trials of the audit set, numbered from 0; None if there is none."""
        batches = [event.batch for event in self.evaluated if event.role == "audit"]
        if not batches:
            return None
        table = table_of(batches, self.study)
        return replace(table, trials=table.trials - AUDIT_FIRST)

    @property
    def benchmark(self) -> Benchmark | None:
        """The benchmark of the study; None in studies that record no block sums."""
        recorded, bundle = self.study.benchmark, self.study.bundle
        if recorded is None or bundle is None:
            return None
        lengths = block_lengths(bundle.train_bars)
        return Benchmark(lengths, np.array(recorded.sums), np.array(recorded.squares), recorded.periods_per_year)

    def is_drawn(self, trials: IntArray) -> BoolArray:
        """Returns ``(n,)`` whether each trial is in the study's sample of trials; see `study.draw`."""
        n_trials = int(self.table.trials[-1]) + 1 if len(self) else 0
        return is_drawn(self.study.seed, trials, n_trials, self.study.n_planned)

    def block_sums(self) -> BlockSums | None:
        """Returns the block sums of the study's sample of trials and of the best trial; None if none are recorded."""
        recorded, best = self.table.outcomes.block_sums, self.table.trials[self.best_row]
        if recorded is None:
            return None
        trials, values = self.table.trials[recorded.rows], recorded.values[:, :N_SUMS]
        kept = self.is_drawn(trials) | np.isin(trials, best)
        trials, values = trials[kept], values[kept]
        if len(best) and best[0] not in trials:
            for event in self.evaluated:
                if event.role == "winner" and event.batch.trials[0] == best[0] and event.batch.outcomes.block_sums:
                    at = int(np.searchsorted(trials, best[0]))
                    trials = np.insert(trials, at, best[0])
                    values = np.insert(values, at, event.batch.outcomes.block_sums.values[0, :N_SUMS], axis=0)
        return BlockSums.of_rows(trials, values)

    def audit_sums(self) -> BlockSums | None:
        """Returns the block sums of the audit set, numbered from `AUDIT_FIRST`, and of the best trial; None without the set."""
        audit, own = self.audit, self.block_sums()
        found = None if audit is None else audit.outcomes.block_sums
        if audit is None or found is None or own is None:
            return None
        best = np.flatnonzero(np.isin(own.trials, self.table.trials[self.best_row]))
        trials = np.concatenate([own.trials[best], audit.trials[found.rows] + AUDIT_FIRST])
        return BlockSums.of_rows(trials, np.concatenate([own.rows()[best], found.values[:, :N_SUMS]]))

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

    def no_result(self) -> NoResultError:
        """Returns the error that says why no trial can be the best."""
        if self.study.constraints and (found := self.feasibility).n_infeasible:
            return NoResultError(
                f"no trial is feasible: {next(found.of_metrics(self.study))} Loosen a constraint, or increase `num_samples`."
            )
        if self.num_terminated:
            if stopped := self.stopped_notes():
                return NoResultError(f"no trial completed at full fidelity: {stopped[0]}")
            return NoResultError(
                f"no trial completed at full fidelity, but {self.num_terminated} of {len(self)} did at lower ones: increase "
                f"`num_samples` or `max_cost`."
            )
        first = next(iter(self.table.outcomes.errors.values()), "there are none")
        return NoResultError(f"no trial completed: {self.num_errors} of {len(self)} failed. The first: {first}")

    @property
    def failure_note(self) -> str:
        """How many trials failed, for what reasons, and whether none can be the best; "" if neither is so."""
        if self.runs and self.runs[-1].reason == "identical_failures":
            return self.runs[-1].notes[-1]
        note = sentence(by_cause(self.table.outcomes.errors.values()), len(self))
        if len(self.best_row):
            return note
        return f"{note} No trial completed." if self.num_errors == len(self) else str(self.no_result())

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
        study = study_of(journal, study)
        read = journal.read("finished", "evaluated", "reviewed", "validated", *trust.KINDS)
        events = list(in_current_space(read, journal, study))
    valid = trust.valid_events(events)
    current = since_extension(valid)
    reviews = [event for event in current if isinstance(event, Reviewed)]
    validations = [event for event in current if isinstance(event, Validated)]
    return StudyRecord(
        folder,
        table_of(trust.valid_or_failed_events(events), study),
        reviews[-1] if reviews else None,
        [event for event in events if isinstance(event, Ended)],
        evaluated=trust.evaluated_after_search(valid),
        validated=validations[-1] if validations else None,
        is_done=any(isinstance(event, Ended) and event.reason == "done" for event in since_extension(events)),
    )


def times_of(record: StudyRecord) -> dict[int, dict[str, float]]:
    """Returns when each trial was submitted, started and finished, in seconds since the epoch; a batch runs in order."""
    times: dict[int, dict[str, float]] = {}
    with closing(Journal(record.folder)) as journal:
        for event in journal.read("finished"):
            assert isinstance(event, Finished)
            at = event.started
            for trial, duration in zip(event.trials.tolist(), event.outcomes.duration_s.tolist(), strict=True):
                times[trial] = {"submitted": event.started, "started": at, "finished": at + duration}
                at += duration
    return times
