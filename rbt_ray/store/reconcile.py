"""A journal and its mirror become one history again."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rbt_ray.errors import JournalError, StudyMismatchError
from rbt_ray.store.disk import check_free
from rbt_ray.store.journal import Journal
from rbt_ray.store.journal_file import FILE_NAME, Row
from rbt_ray.store.mirror import Mirror
from rbt_ray.store.raw_events import RawEvents, chain_digest
from rbt_ray.store.segment import Segment

_COPIES = 2  # of what is inserted, one in SQLite's log and one in its file


@dataclass(frozen=True, slots=True)
class MirrorPosition:
    """Where a mirror that holds the journal's beginning is to be gone on with.

    Args:
        first: the event its last segment begins with.
        before: the digest of all events before it.
        n_rows: how many events that segment holds; -1 where it has to be written again in any case.
    """

    first: int
    before: str
    n_rows: int


def reconcile(mirror: Mirror, folder: Path, *, aside: Path, owned: bool) -> MirrorPosition | None:
    """Brings the local journal up to the mirror, or rids the mirror of what is not in the journal; see `StudyLocation`.

    Args:
        mirror: the study's.
        folder: where the journal is, or is to be; locked.
        aside: where a journal goes that lost to the mirror.
        owned: this driver owns the mirror; without that a mirror that lost stays as it is.

    Returns:
        Where the mirror stands now; None where there is none yet.

    Raises:
        StudyMismatchError: the two are of different studies.
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
    with closing(RawEvents(folder, write=True)) as ours:
        if ours.meta != tail.meta:
            raise StudyMismatchError(
                f"the journal in {folder} is of another study than {mirror.display_name}, which it should be the local copy of. "
                f"Move away the one you do not want to go on with."
            )
        common = _common(mirror, segment_starts, tail, ours)
        mine = ours.rows(common.first)
        n_ours = common.first - 1 + len(mine)
        if common.first == tail.first and mine[: len(tail.rows)] == tail.rows:
            return MirrorPosition(tail.first, tail.before, len(tail.rows))
        if n_ours > tail.last and not owned:
            return None
        if n_ours > tail.last:
            print(
                f"rbt-ray: {mirror.display_name} went another way than {folder} from event {common.first} on, or later, and has "
                f"fewer events ({tail.last:,} of {n_ours:,}): it is overwritten.",
                file=sys.stderr,
            )
            for first in reversed(segment_starts[segment_starts.index(common.first) + 1 :]):
                mirror.remove_segment(first)
            return MirrorPosition(common.first, common.before, -1)
        if common.rows[: len(mine)] != mine:
            aside = _unused(aside)
            ours.copy_to(aside)
            print(
                f"rbt-ray: the journal in {folder} went another way than {mirror.display_name} from event {common.first} on, or "
                f"later, and has no more events ({n_ours:,} of {tail.last:,}): it is kept as {aside.name}.",
                file=sys.stderr,
            )
        ours.replace(
            common.first, _rows(mirror, segment_starts[segment_starts.index(common.first) :], common.before, folder)
        )
        return MirrorPosition(tail.first, tail.before, len(tail.rows))


def _common(mirror: Mirror, segment_starts: list[int], tail: Segment, ours: RawEvents) -> Segment:
    """The last segment before which all events are ours too."""
    digests, digest = {}, ""
    for first, stop in zip(segment_starts, [*segment_starts[1:], None], strict=True):
        digests[first] = digest
        if stop is not None:
            digest = chain_digest(digest, ours.rows(first, n=stop - first))
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
                f"{mirror.display_name} is damaged: what comes before event {first} is of another history."
            )
        check_free(folder, _COPIES * segment.n_bytes)
        yield from segment.rows
        before = chain_digest(before, segment.rows)
        number = segment.last + 1


def _unused(path: Path) -> Path:
    """The path, or with a number: what was kept before stays."""
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in itertools.count(2))
    return next(one for one in itertools.chain([path], numbered) if not os.path.lexists(one))
