"""Keeps a journal and its mirror the same history: reconciles them at the start, and then copies new events."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rbt_ray.errors import JournalError, StudyMismatchError
from rbt_ray.store.journal import Journal
from rbt_ray.store.journal_file import FILE_NAME, RawEvents, Row, chain_digest
from rbt_ray.store.lease import Lease
from rbt_ray.store.mirror import Mirror, check_free
from rbt_ray.store.segment import SEGMENT_BYTES, Segment

_COPIES = 2  # of inserted rows: one in SQLite's log and one in its file


@dataclass(frozen=True, slots=True)
class MirrorPosition:
    """The last segment of a mirror that holds the start of the journal; new events are added from there.

    Args:
        first: the number of the segment's first event.
        before: the digest of all events before the segment.
        n_rows: the number of its events; -1 if the segment has to be written again.
    """

    first: int
    before: str
    n_rows: int


def reconcile(mirror: Mirror, folder: Path, *, backup: Path, owned: bool) -> MirrorPosition | None:
    """Updates the local journal from the mirror, or removes events from the mirror that the journal does not have.

    `StudyLocation` describes the rule.

    Args:
        mirror: the study's mirror.
        folder: the folder of the journal, which the caller has locked.
        backup: the path that a superseded local journal is copied to.
        owned: whether this driver holds the lease of the mirror; without it the mirror is not changed.

    Returns:
        The mirror's position; None if there is no mirror yet.

    Raises:
        StudyMismatchError: the journal and the mirror are of different studies.
        SettingError: the mirror cannot be read or written.
        JournalError: the journal or the mirror is damaged.
    """
    segment_starts = mirror.segment_starts()
    if not segment_starts:
        return None
    if segment_starts[0] != 1:
        raise JournalError(f"{mirror.display_name} is damaged: it does not begin with a first event.")
    tail = mirror.read(segment_starts[-1])
    if not (folder / FILE_NAME).exists():
        Journal.create(folder, tail.definition).close()
    with closing(RawEvents(folder, write=True)) as journal:
        if journal.meta["definition"] != tail.meta["definition"]:
            raise StudyMismatchError(
                f"the journal in {folder} is of another study than {mirror.display_name}, which should be its mirror. "
                f"Move away the one you do not want to continue."
            )
        common = _common(mirror, segment_starts, tail, journal)
        local_rows = journal.rows(common.first)
        n_local = common.first - 1 + len(local_rows)
        if common.first == tail.first and local_rows[: len(tail.rows)] == tail.rows:
            return MirrorPosition(tail.first, tail.before, len(tail.rows))
        if n_local > tail.last and not owned:
            return None
        if n_local > tail.last:
            print(
                f"rbt-ray: the mirror {mirror.display_name} differs from {folder} from event {common.first} on, or later, and "
                f"has fewer events ({tail.last:,} of {n_local:,}): it is overwritten.",
                file=sys.stderr,
            )
            for first in reversed(segment_starts[segment_starts.index(common.first) + 1 :]):
                mirror.remove_segment(first)
            return MirrorPosition(common.first, common.before, -1)
        if common.rows[: len(local_rows)] != local_rows:
            backup = _unused(backup)
            journal.copy_to(backup)
            print(
                f"rbt-ray: the journal in {folder} differs from its mirror {mirror.display_name} from event {common.first} on, "
                f"or later, and does not have more events ({n_local:,} of {tail.last:,}): it is kept as {backup.name}.",
                file=sys.stderr,
            )
        journal.replace(
            common.first,
            _rows(mirror, segment_starts[segment_starts.index(common.first) :], common.before, folder),
            tail.meta,
        )
        return MirrorPosition(tail.first, tail.before, len(tail.rows))


def _common(mirror: Mirror, segment_starts: list[int], tail: Segment, journal: RawEvents) -> Segment:
    """Returns the last segment with an equal history before it."""
    digests, digest = {}, ""
    for first, stop in zip(segment_starts, [*segment_starts[1:], None], strict=True):
        digests[first] = digest
        if stop is not None:
            digest = chain_digest(digest, journal.rows(first, n=stop - first))
    for first in reversed(segment_starts):
        segment = tail if first == tail.first else mirror.read(first)
        if segment.before == digests[first]:
            return segment
    raise JournalError(f"{mirror.display_name} is damaged: it does not begin with a first event.")


def _rows(mirror: Mirror, segment_starts: list[int], before: str, folder: Path) -> Iterator[Row]:
    number = segment_starts[0]
    for first in segment_starts:
        segment = mirror.read(first)
        if segment.before != before or first != number:
            raise JournalError(
                f"{mirror.display_name} is damaged: the segment before event {first} is of another history."
            )
        check_free(folder, _COPIES * segment.n_bytes)
        yield from segment.rows
        before = chain_digest(before, segment.rows)
        number = segment.last + 1


def _unused(path: Path) -> Path:
    """Returns the path, with a number appended to its stem if a file of that name exists."""
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in itertools.count(2))
    return next(one for one in itertools.chain([path], numbered) if not os.path.lexists(one))


class MirrorWriter:
    """Writes the events to a mirror that it does not have yet.

    Args:
        mirror: the mirror to write to.
        lease: this driver's lease of the mirror.
        folder: the folder of the journal.
        known: the mirror's position; None: it is empty.
    """

    def __init__(self, mirror: Mirror, lease: Lease, folder: Path, known: MirrorPosition | None) -> None:
        self._mirror, self._lease, self._folder = mirror, lease, folder
        known = known or MirrorPosition(1, "", -1)
        self._first, self._before, self._n_written = known.first, known.before, known.n_rows

    def push(self) -> None:
        """Writes all new events of the journal.

        Raises:
            StudyLockedError: another driver has taken over the mirror.
            SettingError: the mirror cannot be written.
            JournalError: the journal cannot be read.
        """
        self._lease.renew()
        with closing(RawEvents(self._folder)) as events:
            meta = events.meta
            while True:
                rows, full = events.piece(self._first, least=self._n_written, n_bytes=SEGMENT_BYTES)
                if len(rows) > self._n_written:
                    self._mirror.write(Segment(self._first, self._before, meta, rows))
                    self._n_written = len(rows)
                if not full:
                    return
                self._first, self._before = self._first + len(rows), chain_digest(self._before, rows)
                self._n_written = 0
