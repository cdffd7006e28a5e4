"""Flushes a journal's log to the disk every second, and records in the flush marker which events the disk holds.

Linux reports a failed fsync once and then treats the pages as clean: a later fsync that succeeds proves nothing about
them. After a failure, and for a log that an earlier process left, the whole log is therefore written again before it is
flushed. The log stays open all the time, because a descriptor reports an error only if it was open when the error
happened, or if nobody has seen the error yet.

SQLite folds a log into the database file by itself, in a commit, and drops the errors of its flushes: a file that was
overwritten from a log that the disk does not hold is lost with the next power cut. So this module folds it, after a flush.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from io import FileIO
from pathlib import Path

from rbt_ray.errors import JournalBlockedError, JournalError
from rbt_ray.store import journal_errors
from rbt_ray.store.connection import open_second_writer
from rbt_ray.store.flush_marker import FlushMarker

_FLUSH_SECONDS = 1.0
_PIECE_BYTES = 2**20
_FOLD_BYTES = 1000 * 4096  # as SQLite does


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
        marker: FlushMarker,
        last: Callable[[], int],
        when_blocked: Callable[[JournalBlockedError, int], bool],
    ) -> None:
        self._journal, self._marker, self._last, self._when_blocked = journal, marker, last, when_blocked
        self._log_path = journal.with_name(f"{journal.name}-wal")
        self._log: FileIO | None = None
        self._in_doubt = True  # whether the log may hold pages that are clean and not on the disk
        with suppress(OSError):
            self._in_doubt = self._log_path.stat().st_size > 0
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

    def flush(self) -> None:
        """Flushes the log: the events appended before survive a power cut, and the flush marker certifies them.

        A log that has grown large is then folded into the database file.

        Raises:
            JournalBlockedError: the disk is full or reports an error, or another process holds the journal.
            JournalError: the journal is damaged.
        """
        number = self._last()
        try:
            log = self._open_log()
            if self._in_doubt:
                self._write_again(log)
            os.fsync(log.fileno())
        except OSError as error:
            self._in_doubt = True
            raise journal_errors.unflushed(self._log_path, error) from error
        except sqlite3.Error as error:
            raise journal_errors.unwritable(self._journal, error) from error
        self._in_doubt = False
        with suppress(OSError):  # the marker lags; what it says stays true
            self._marker.write(number)
        if os.fstat(log.fileno()).st_size > _FOLD_BYTES:
            self._fold()

    def close(self, *, patient: bool) -> None:
        """Ends the thread and flushes for the last time.

        Args:
            patient: whether to ask `when_blocked` if that fails; not after it has given up.

        Raises:
            JournalError: the disk does not take the log.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        patient &= self._failure is None
        try:
            tries = 0
            while not self._flushed(tries, patient=patient):
                tries += 1
            if (failure := self._failure) is not None:
                raise failure
        finally:
            if self._log is not None:
                self._log.close()
                self._log = None

    def _flush_often(self) -> None:
        tries = 0
        try:
            while not self._stop.wait(0.0 if tries else _FLUSH_SECONDS):
                tries = 0 if self._flushed(tries, patient=True) else tries + 1
                if self._failure is not None and self._decided.is_set():
                    return
        finally:  # also where `when_blocked` raises, such as for a stderr that is closed: appending must not wait for ever
            self._decided.set()

    def _flushed(self, tries: int, *, patient: bool) -> bool:
        """Flushes; False: that failed and is to be tried again. `_failure` is what it failed with."""
        try:
            self.flush()
        except JournalError as error:
            self._decided.clear()
            self._failure = error
            if patient and isinstance(error, JournalBlockedError) and self._when_blocked(error, tries):
                return False
        else:
            self._failure = None
        self._decided.set()
        return True

    def _open_log(self) -> FileIO:
        if self._log is None:
            # SQLite's locks lie on other files than the log, so that closing this descriptor loses none of them.
            self._log = FileIO(self._log_path, "r+")
        return self._log

    def _write_again(self, log: FileIO) -> None:
        """Writes the log's bytes over themselves, which makes their pages dirty, while no other connection writes."""
        with closing(open_second_writer(self._journal)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            at = log.seek(0)
            while piece := log.read(_PIECE_BYTES):
                log.seek(at)
                at = log.seek(at + log.write(piece))
            connection.rollback()

    def _fold(self) -> None:
        """Moves the log's events into the database file, all those that no reader needs there."""
        try:
            with closing(open_second_writer(self._journal)) as connection:
                connection.execute("PRAGMA busy_timeout = 20")  # ms; appending waits as long
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            self._in_doubt = True
            raise journal_errors.unwritable(self._journal, error) from error
