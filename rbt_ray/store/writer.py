"""Copies new events of a journal to its mirror."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from rbt_ray.store.lease import Lease
from rbt_ray.store.mirror import Mirror
from rbt_ray.store.raw_events import RawEvents, chain_digest
from rbt_ray.store.reconcile import MirrorPosition
from rbt_ray.store.segment import SEGMENT_BYTES, Segment


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
