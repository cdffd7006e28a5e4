"""Connections to a journal's file: to append to it, or to read it without changing anything in its folder.

There are three kinds of readers. If there is no write-ahead log, the file alone is the journal: SQLite opens it as immutable,
takes no lock and opens no other file, which also works on a read-only disk. If there is a log, the reader opens a private copy
of both. In the process that appends to the journal, it opens the journal itself as read-only; the writer has checked the
files.

A driver may start to write to a file that is open as immutable. Its events go to the log, and the file changes only at a
checkpoint. The reader may then see pages of two states, and still returns no wrong event: every row has a checksum of its
number and content, numbers have no gap, and at least as many rows must exist as at opening. It returns those events or
raises; `reporting_concurrent_writes` then reports that the file was written, not that it is damaged.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from time import time  # the clock itself: an objective may put another in its place

from rbt_ray.errors import JournalError
from rbt_ray.private_files import ABANDONED_AFTER_S
from rbt_ray.store import regular_files
from rbt_ray.store.schema import restrict

_READER_SECONDS, _WRITER_SECONDS = 30.0, 5.0
_COPY = "rbt-ray-journal-"
"""The prefix of the folder of a private copy."""

# POSIX releases all locks of a process on a file when the process closes any descriptor of that file. So a journal that this process
# appends to is opened through SQLite only, and none is opened to append to while a copy of it is made.
_opening = threading.RLock()
_in_place: weakref.WeakSet[Connection] = weakref.WeakSet()
"""Connections of this process to journals that it appends to; they hold locks on the files themselves."""


class Connection(sqlite3.Connection):
    """A connection to a journal; closing it removes its private copy, if it has one."""

    n_bytes: int | None = None
    """The size of the journal and its log, if they do not grow while this connection reads them."""
    private_copy: tempfile.TemporaryDirectory[str] | None = None
    file_id: tuple[int, int] | None = None
    opened_state: tuple[Path, tuple[int, int]] | None = None
    lacks_log: bool = False
    """Whether the journal has a log that this connection does not read."""

    def close(self) -> None:
        """Closes the file and removes the private copy."""
        with _opening:
            super().close()
            _in_place.discard(self)
        if self.private_copy is not None:
            self.private_copy.cleanup()

    @property
    def was_written_beside(self) -> bool:
        """Whether the file was opened as immutable and has changed since."""
        if self.opened_state is None:
            return False
        path, state = self.opened_state
        try:
            return _state(path.stat()) != state or bool(regular_files.log_head(path))
        except FileNotFoundError:
            return True
        except (OSError, JournalError):  # an error of the disk does not show that the file changed
            return False


def open_reader(path: Path) -> Connection:
    """Opens the journal to read its current state; changes nothing in the folder, and runs no SQL of the file.

    Raises:
        StudyNotFoundError: there is no journal.
        JournalError: one of the files was not written by a driver, or cannot be read or copied.
        sqlite3.Error: SQLite cannot open it.
    """
    with _opening:
        found = regular_files.check(path)
        if any(other.file_id == (found.st_dev, found.st_ino) for other in _in_place):
            return _held(_open(path, "mode=ro", None), found)
        regular_files.can_be_read(path)
        size = regular_files.n_bytes(path)
        if not regular_files.log_head(path):
            return _immutable(path, size)
        copy = _private_folder()
        try:
            to = Path(copy.name) / path.name
            if not regular_files.copy(path, to):  # the driver ended in between
                copy.cleanup()
                return _immutable(path, size)
            connection = _open(to, "mode=ro", regular_files.n_bytes(to))
            connection.private_copy = copy
            if os.name == "posix":
                # SQLite has all files open after the first read, so that a killed reader leaves nothing behind.
                connection.execute("PRAGMA schema_version").fetchone()
                copy.cleanup()
        except BaseException:
            copy.cleanup()
            raise
        return connection


def open_without_log(path: Path) -> Connection:
    """Opens the journal's file without its log: the events up to the last checkpoint, without a copy.

    Raises:
        As `open_reader` does.
    """
    with _opening:
        found = regular_files.check(path)
        if any(other.file_id == (found.st_dev, found.st_ino) for other in _in_place):
            return _held(_open(path, "mode=ro", None), found)
        regular_files.can_be_read(path)
        connection = _immutable(path, regular_files.n_bytes(path))
        connection.lacks_log = True
        return connection


def open_checker(path: Path) -> Connection:
    """Opens the journal itself to read it, for a writer that holds the study's lock.

    Raises:
        As `open_reader` does.
    """
    regular_files.check(path, write=True)
    size = regular_files.n_bytes(path)
    return _open(path, "mode=ro", size) if regular_files.log_head(path) else _immutable(path, size)


def open_writer(path: Path) -> Connection:
    """Opens the journal to append to it, after the file was checked with `open_checker`.

    Raises:
        As `open_reader` does.
    """
    with _opening:
        found = regular_files.check(path, write=True)
        return _held(_open(path, "mode=rw", None, _WRITER_SECONDS), found)


def open_second_writer(path: Path) -> Connection:
    """Opens a second connection to append with, for the thread that flushes a journal that this process has open.

    Raises:
        sqlite3.Error: SQLite cannot open it.
    """
    return _open(path, "mode=rw", None, _WRITER_SECONDS)


def close_without_checkpoint(writer: Connection, path: Path) -> None:
    """Closes a writer and keeps its log: SQLite's last connection runs a checkpoint unless it is read-only."""
    with suppress(sqlite3.Error), closing(_open(path, "mode=ro", None)) as last:
        last.execute("PRAGMA schema_version").fetchone()
        writer.close()
    writer.close()


@contextmanager
def reporting_concurrent_writes(connection: Connection, path: Path) -> Iterator[None]:
    """Replaces an error of the block if the journal was written while it was read.

    Raises:
        JournalError: the error of the block, or one that reports the concurrent write.
    """
    try:
        yield
    except JournalError as error:
        if connection.was_written_beside:
            raise JournalError(f"the journal {path} was written while it was read: try again.") from error
        raise


def _held(connection: Connection, found: os.stat_result) -> Connection:
    connection.file_id = (found.st_dev, found.st_ino)
    _in_place.add(connection)
    return connection


def _reset_after_fork() -> None:
    """Resets the state in a forked child, which holds no lock of its parent and must not use the parent's connections."""
    global _opening
    _opening = threading.RLock()
    _in_place.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


def _immutable(path: Path, size: int) -> Connection:
    seen = _state(path.stat())
    connection = _open(path, "mode=ro&immutable=1", size)
    connection.opened_state = (path, seen)
    return connection


def _open(path: Path, how: str, n_bytes: int | None, seconds: float | None = None) -> Connection:
    uri = f"{path.absolute().as_uri()}?{how}"
    connection = sqlite3.connect(
        uri,
        timeout=_READER_SECONDS if seconds is None else seconds,
        uri=True,
        check_same_thread=False,
        factory=Connection,
    )
    try:
        connection.n_bytes = n_bytes
        restrict(connection, n_bytes)
        if "mode=ro" in how:
            connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _private_folder() -> tempfile.TemporaryDirectory[str]:
    try:
        _remove_abandoned_copies()
        return tempfile.TemporaryDirectory(prefix=_COPY, ignore_cleanup_errors=True)
    except OSError as error:
        raise JournalError(
            f"a journal that is being written has to be copied to be read, and there is not enough disk space: {error}."
        ) from error


def _remove_abandoned_copies() -> None:
    """Removes the folders that killed processes of this user left while they copied a journal."""
    own, newest = getattr(os, "geteuid", int)(), time() - ABANDONED_AFTER_S
    with os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            if entry.name.startswith(_COPY):
                with suppress(OSError):
                    found = entry.stat(follow_symlinks=False)
                    if found.st_uid == own and found.st_mtime < newest:
                        shutil.rmtree(entry.path, ignore_errors=True)


def _state(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns
