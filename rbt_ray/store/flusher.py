"""Flushes a journal's log to the disk every second, and records in the flush marker which events the disk holds.

SQLite reads a damaged log up to the damage. That is right for events of the last second before a power cut, and wrong for
events that had been flushed before. So the driver that flushes the log records how far, in a file next to the journal.

Linux reports a failed fsync once and then treats the pages as clean, so a later successful fsync proves nothing about them.
After a failure, and for a log that an earlier process left, the whole log is therefore written again before it is flushed.
The log stays open all the time, because a descriptor reports an error only if it was open when the error happened, or if
the error was not reported before.

SQLite's automatic checkpoint in a commit ignores errors of fsync: a database file that was overwritten from a log which is
not on the disk is lost in a power cut. So automatic checkpoints are off, and this module runs them after a flush.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import zlib
from collections.abc import Callable
from contextlib import closing, suppress
from io import FileIO
from pathlib import Path

from rbt_ray.errors import JournalBlockedError, JournalError
from rbt_ray.private_files import NO_LINK, NO_WAIT, open_regular
from rbt_ray.store import journal_errors
from rbt_ray.store.connection import open_second_writer

_AT_MOST = 64


class FlushMarker:
    """The flush marker of a journal; if its file is missing or incomplete, the number is 0.

    Args:
        journal: the journal's file.
    """

    def __init__(self, journal: Path) -> None:
        self.path = journal.with_name(f"{journal.name}-flushed")

    def read(self) -> int:
        """Returns the number of the last event that was flushed; 0 if it is not known."""
        with suppress(OSError, ValueError):
            with open_regular(self.path, follow=False) as file:
                number, seal = file.read(_AT_MOST).split()
            if number.isdigit() and int(seal, 16) == zlib.crc32(number):
                return int(number)
        return 0

    def write(self, number: int) -> None:
        """Records that all events up to this one are on the disk.

        Raises:
            OSError: it cannot be written.
        """
        text = b"%020d" % number
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | NO_LINK | NO_WAIT, 0o600)
        try:
            os.write(descriptor, b"%b %08x\n" % (text, zlib.crc32(text)))
        finally:
            os.close(descriptor)

    def remove(self) -> None:
        """Removes the marker, after the log is empty."""
        with suppress(OSError):
            self.path.unlink()


_FLUSH_SECONDS = 1.0
_PIECE_BYTES = 2**20
_CHECKPOINT_BYTES = 1000 * 4096  # as SQLite does


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
        """Flushes the log and updates the flush marker, so that the events appended so far survive a power cut.

        Then runs a checkpoint if the log is large.

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
        with suppress(OSError):  # an older marker is still valid
            self._marker.write(number)
        if os.fstat(log.fileno()).st_size > _CHECKPOINT_BYTES:
            self._checkpoint()

    def close(self, *, retry: bool) -> None:
        """Ends the thread and flushes for the last time.

        Args:
            retry: whether to ask `when_blocked` if that fails; False after it has given up.

        Raises:
            JournalError: the disk does not store the log.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        retry &= self._failure is None
        try:
            tries = 0
            while not self._flushed(tries, retry=retry):
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
                tries = 0 if self._flushed(tries, retry=True) else tries + 1
                if self._failure is not None and self._decided.is_set():
                    return
        finally:  # also if `when_blocked` raises, such as for a closed stderr: `check` must not wait forever
            self._decided.set()

    def _flushed(self, tries: int, *, retry: bool) -> bool:
        """Flushes the log and sets `_failure`; returns False if it failed and has to be retried."""
        try:
            self.flush()
        except JournalError as error:
            self._decided.clear()
            self._failure = error
            if retry and isinstance(error, JournalBlockedError) and self._when_blocked(error, tries):
                return False
        else:
            self._failure = None
        self._decided.set()
        return True

    def _open_log(self) -> FileIO:
        if self._log is None:
            # SQLite has no locks on the log, so closing this descriptor releases none.
            self._log = FileIO(self._log_path, "r+")
        return self._log

    def _write_again(self, log: FileIO) -> None:
        """Overwrites the log with its own bytes, which marks its pages dirty, while no other connection writes."""
        with closing(open_second_writer(self._journal)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            at = log.seek(0)
            while piece := log.read(_PIECE_BYTES):
                log.seek(at)
                at = log.seek(at + log.write(piece))
            connection.rollback()

    def _checkpoint(self) -> None:
        """Moves the log's events into the database file, except those that a reader still needs in the log."""
        try:
            with closing(open_second_writer(self._journal)) as connection:
                connection.execute("PRAGMA busy_timeout = 20")  # ms; appending waits this long, too
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            self._in_doubt = True
            raise journal_errors.unwritable(self._journal, error) from error
