"""Flushes a journal's log to the disk every second, and records in the flush marker which events the disk holds.

Linux reports a failed fsync once and then treats the pages as clean: a later fsync that succeeds proves nothing about
them. After a failure, and for a log that an earlier process left, a checkpoint therefore writes the events again, into
the database file, and only a flush of that file proves them. The log stays open all the time, because a descriptor
reports only those errors that nobody has seen before it was opened, and SQLite's own checkpoints see them too.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from rbt_ray.errors import JournalBlockedError, JournalError
from rbt_ray.store import journal_file
from rbt_ray.store.flushed import Flushed

_FLUSH_SECONDS = 1.0
_BUSY_MS = 200


class Flusher:
    """Flushes the log of one open journal.

    Args:
        journal: the database file, which a connection of this process keeps open.
        marker: the journal's flush marker.
        last: returns the number of the last event that was appended.
        when_blocked: called with an error and the number of earlier tries; returns whether to try again.
    """

    def __init__(
        self,
        journal: Path,
        marker: Flushed,
        last: Callable[[], int],
        when_blocked: Callable[[JournalBlockedError, int], bool],
    ) -> None:
        self._journal, self._marker, self._last, self._when_blocked = journal, marker, last, when_blocked
        self._log_path = journal.with_name(f"{journal.name}-wal")
        self._log: int | None = None
        self._in_doubt = self._log_path.exists() and self._log_path.stat().st_size > 0
        self._failure: JournalError | None = None
        self._decided = threading.Event()  # set unless a flush has failed and is tried again
        self._decided.set()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts to flush every second, in a thread; does nothing if it has started before."""
        if self._thread is None:
            with suppress(OSError):  # `flush` tries again and reports it
                self._open_log()
            self._thread = threading.Thread(target=self._flush_often, name="rbt-ray-flush", daemon=True)
            self._thread.start()

    def check(self) -> None:
        """Returns at once if the last flush succeeded; else waits until one does.

        Raises:
            JournalError: `when_blocked` gave up on it.
        """
        if self._failure is not None:
            self._decided.wait()
            if (failure := self._failure) is not None:
                raise failure

    def flush(self) -> bool:
        """Flushes the log: the events appended before survive a power cut.

        Returns:
            Whether the flush marker certifies them now: not while another process reads the log that has to be folded
            into the database file first.

        Raises:
            JournalBlockedError: the disk is full or reports an error.
            JournalError: the database file is damaged.
        """
        number = self._last()
        if not self._in_doubt:
            self._sync_log()
        elif not self._fold():
            return False
        self._in_doubt = False
        with suppress(OSError):  # the marker lags; what it says stays true
            self._marker.write(number)
        return True

    def close(self) -> None:
        """Ends the thread, and folds the log into the database file; where that has no room, the flushed log stays.

        Raises:
            JournalError: the disk takes the events neither in the file nor in the log.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        try:
            self._finish(patient=self._failure is None)
        finally:
            if self._log is not None:
                os.close(self._log)
                self._log = None

    def _finish(self, *, patient: bool) -> None:
        tries = 0
        while True:
            with suppress(JournalError):  # such as a full disk: the flushed log keeps the events
                if self._fold():
                    self._marker.remove()
                    return
            try:
                if not self.flush() and self._failure is not None:
                    raise self._failure
                return
            except JournalError as error:
                self._failure = error
                if not (patient and isinstance(error, JournalBlockedError) and self._when_blocked(error, tries)):
                    raise
                tries += 1

    def _flush_often(self) -> None:
        tries = 0
        while not self._stop.wait(0.0 if tries else _FLUSH_SECONDS):
            try:
                self.flush()
            except JournalError as error:
                self._decided.clear()
                self._failure = error
                if not (isinstance(error, JournalBlockedError) and self._when_blocked(error, tries)):
                    self._decided.set()
                    return
                tries += 1
            else:
                tries, self._failure = 0, None
                self._decided.set()

    def _open_log(self) -> int:
        if self._log is None:
            # SQLite's locks lie on other files than the log, so that closing this descriptor loses none of them.
            self._log = os.open(self._log_path, os.O_RDWR)
        return self._log

    def _sync_log(self) -> None:
        try:
            os.fsync(self._open_log())
        except OSError as error:
            self._in_doubt = True
            raise journal_file.flush_trouble(self._log_path, error) from error

    def _fold(self) -> bool:
        """Copies the log's events into the database file, flushes it and empties the log; False if a reader prevents it."""
        try:
            with closing(journal_file.connect(self._journal, write=True)) as connection:
                connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")  # appending waits as long
                busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            trouble = journal_file.trouble(self._journal, error)
            self._in_doubt |= not isinstance(trouble, JournalBlockedError) or trouble.is_fault
            raise trouble from error
        if not busy:  # a log that returned after a power cut would hide pages of the file behind older ones
            self._sync_log()
        return not busy
