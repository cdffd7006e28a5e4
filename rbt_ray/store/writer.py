"""Brings a mirror up to its journal, again and again."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from rbt_ray.store.lease import Lease
from rbt_ray.store.mirror import Mirror
from rbt_ray.store.raw_events import RawEvents, chain_digest
from rbt_ray.store.reconcile import MirrorPosition
from rbt_ray.store.segment import SEGMENT_BYTES, Segment


class MirrorWriter:
    """Writes what a journal has and its mirror has not.

    Args:
        mirror: where to.
        lease: on the mirror.
        folder: where the journal is.
        known: where the mirror stands; None: it is empty.
    """

    def __init__(self, mirror: Mirror, lease: Lease, folder: Path, known: MirrorPosition | None) -> None:
        self._mirror, self._lease, self._folder = mirror, lease, folder
        known = known or MirrorPosition(1, "", -1)
        self._first, self._before, self._n_written = known.first, known.before, known.n_rows

    def push(self) -> None:
        """Writes all events that are in the journal now.

        Raises:
            StudyLockedError: another driver has taken the mirror over.
            SettingError: it cannot be written.
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
