"""Reads the table of a large study in blocks of consecutive trials, for what needs to see each trial once."""

from __future__ import annotations

import hashlib
import heapq
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO, TypeVar

import numpy as np

from rbt_ray import metric_columns
from rbt_ray.columns import Outcomes
from rbt_ray.store import regular_files, trust
from rbt_ray.store.continuation import in_current_space, study_of
from rbt_ray.store.journal import Distrusted, Event, Finished, Journal
from rbt_ray.store.journal_file import FILE_NAME
from rbt_ray.store.table import TrialTable, table_of
from rbt_ray.study.study import Study
from rbt_ray.types import IntArray, Result

Found = TypeVar("Found")

LARGE_BYTES = 2**25
"""A journal of at least this size is read in blocks."""
_TRIALS = 2**14
_COPY_BYTES = 2**20


class NotInBlocksError(Exception):
    """The study has to be read as a whole: blocks would not give the same."""


def read_in_blocks(
    folder: Path, study: Study | None, find: Callable[[Study, Iterator[TrialTable]], Found]
) -> Found | None:
    """Returns what `find` gives for a large study; None if the study is small, or has to be read as a whole.

    Args:
        folder: the study's folder.
        study: the definition, if the caller has it; None reads it from the journal.
        find: gets the definition and the tables of consecutive trials, in order.

    Raises:
        JournalError: the journal is damaged.
        SpaceError: the space holds options that only Python code can provide.
    """
    if regular_files.n_bytes(folder / FILE_NAME) < LARGE_BYTES:
        return None
    with closing(Journal(folder)) as journal:
        study = study_of(journal, study)
        read = journal.read("finished", *trust.KINDS)
        try:
            return find(study, _tables(in_current_space(read, journal, study), study))
        except NotInBlocksError:
            return None


def hash_in_blocks(study: Study, tables: Iterable[TrialTable]) -> str:
    """Returns `TrialTable.hash` of the whole. Columns wait in temporary files, as the hash takes one after the other."""
    with ExitStack() as stack:
        heads: list[bytes] = []
        files: list[IO[bytes]] = []
        n = 0
        for table in tables:
            if any(column.kind == "json" for column in table.outcomes.metrics.values()):
                raise NotInBlocksError  # it is hashed as one list
            columns = list(table.hashed())
            if not files:
                heads = [head for head, _ in columns]
                files = [stack.enter_context(tempfile.TemporaryFile()) for _ in columns]
            for file, (_, values) in zip(files, columns, strict=True):
                file.write(values)
            n += len(table)
        digest = hashlib.sha256(json.dumps([study.space.fingerprint, n]).encode())
        for head, file in zip(heads, files, strict=True):
            digest.update(head)
            file.seek(0)
            while part := file.read(_COPY_BYTES):
                digest.update(part)
        return digest.hexdigest()


def best_in_blocks(study: Study, tables: Iterable[TrialTable]) -> Result | None:
    """Returns the best trial by the study's metric; None without one."""
    if study.further_goals:
        raise NotInBlocksError
    least, best = np.inf, None
    for table in tables:
        for row in table.ranking(1).tolist():
            if best is None or table.loss[row] < least:
                least, best = table.loss[row], table.results()[row]
    return best


def _tables(events: Iterable[Event], study: Study) -> Iterator[TrialTable]:
    """Yields the tables of consecutive trials; all have the same metrics, of the same kinds and in the same order."""
    found: list[tuple[str, str]] | None = None
    for batches in _blocks(_in_order(events)):
        table = table_of(batches, study)
        kinds: list[tuple[str, str]] = [(name, column.kind) for name, column in table.outcomes.metrics.items()]
        if found not in (None, kinds):
            raise NotInBlocksError
        found = kinds
        yield table


def _blocks(batches: Iterable[Finished]) -> Iterator[list[Finished]]:
    block: list[Finished] = []
    n = 0
    for batch in batches:
        block.append(batch)
        n += len(batch.trials)
        if n >= _TRIALS:
            yield block
            block, n = [], 0
    if block:
        yield block


def _in_order(events: Iterable[Event]) -> Iterator[Finished]:
    """Yields batches of consecutive trials in trial order; those that are ahead wait for the trials before them."""
    ahead: list[tuple[int, int, Finished]] = []
    following = n_batches = 0
    for event in events:
        if isinstance(event, Distrusted):
            raise NotInBlocksError  # it withdraws results that were read before it
        if not isinstance(event, Finished):
            continue
        for batch in _consecutive(event):
            n_batches += 1  # unique, so that batches are never compared
            heapq.heappush(ahead, (int(batch.trials[0]), n_batches, batch))
        while ahead and ahead[0][0] <= following:
            following = _after(following, ahead[0][2])
            yield heapq.heappop(ahead)[2]
    while ahead:  # after a trial that did not finish
        following = _after(following, ahead[0][2])
        yield heapq.heappop(ahead)[2]


def _after(following: int, batch: Finished) -> int:
    if batch.trials[0] < following:
        raise NotInBlocksError  # a trial is there twice
    return int(batch.trials[-1]) + 1


def _consecutive(event: Finished) -> Iterator[Finished]:
    """Yields parts of a batch whose trials are consecutive."""
    steps = np.diff(event.trials)
    if (steps == 1).all():
        yield event
        return
    order = np.argsort(event.trials, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(event.trials[order]) != 1) + 1):
        yield _part(event, rows)


def _part(event: Finished, rows: IntArray) -> Finished:
    """Returns rows of a batch, with what a table's hash and ranking need."""
    all_of, at = event.outcomes, {row: position for position, row in enumerate(rows.tolist())}
    outcomes = Outcomes(
        status=all_of.status[rows],
        metrics=metric_columns.take(all_of.metrics, rows),
        errors={at[row]: error for row, error in all_of.errors.items() if row in at},
        duration_s=all_of.duration_s[rows],
        shares={at[row]: share for row, share in all_of.shares.items() if row in at},
    )
    return Finished(
        event.trials[rows], event.points[rows], event.fidelity, outcomes, event.worker, event.started, event.cpu_s,
        event.wall_s,
    )  # fmt: skip
