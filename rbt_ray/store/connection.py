"""Connections to a journal's file: to append to it, or to read it without changing anything in its folder.

A reader has one of three. Without a write-ahead log the file alone is the journal: SQLite opens it as immutable, takes no
lock and looks at no file beside it, which also works on a read-only disk. With a log it reads a private copy of both. In
the process that appends to the journal it opens the journal itself, read-only: the writer has checked those files.

A driver may begin to write to a file that is open as immutable. Its events go to the log, and the file changes only when
the log is folded into it. A reader may then see pages of two states, and still gives no wrong event: every row has a
seal over its number and content, numbers have no gap, and as many rows must be there as there were at opening. It gives
those events or refuses; `reporting_concurrent_writes` then says that the file was written, not that it is damaged.
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
"""How the name of a private copy's folder begins."""

# POSIX drops all locks that a process has on a file when it closes any descriptor of it. So a journal that this process
# appends to is opened through SQLite only, and none is opened to append to while a copy of it is made.
_opening = threading.RLock()
_in_place: weakref.WeakSet[Connection] = weakref.WeakSet()
"""Connections of this process to journals that it appends to: they hold locks on the files themselves."""


class Connection(sqlite3.Connection):
    """A connection to a journal that removes its private copy, if it has one, when it is closed."""

    n_bytes: int | None = None
    """Of the journal and its log, where they do not grow while this connection reads them."""
    private_copy: tempfile.TemporaryDirectory[str] | None = None
    file_id: tuple[int, int] | None = None
    opened_state: tuple[Path, tuple[int, int]] | None = None

    def close(self) -> None:
        """Closes the file."""
        with _opening:
            super().close()
            _in_place.discard(self)
        if self.private_copy is not None:
            self.private_copy.cleanup()

    @property
    def was_written_beside(self) -> bool:
        """Whether the file, open as immutable, changed since."""
        if self.opened_state is None:
            return False
        path, state = self.opened_state
        try:
            return _state(path.stat()) != state or bool(regular_files.log_head(path))
        except FileNotFoundError:
            return True
        except (OSError, JournalError):  # a disk that gives nothing says nothing of the file
            return False


def open_reader(path: Path) -> Connection:
    """A connection that reads the journal as it is now; it changes nothing in the folder, and runs nothing.

    Raises:
        StudyNotFoundError: there is no journal.
        JournalError: a file of it is none of ours, or cannot be read or copied.
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
            if (
                os.name == "posix"
            ):  # SQLite has all files open after the first read; a reader that is killed leaves nothing
                connection.execute("PRAGMA schema_version").fetchone()
                copy.cleanup()
        except BaseException:
            copy.cleanup()
            raise
        return connection


def open_checker(path: Path) -> Connection:
    """A connection that reads the journal in its place, for a writer that has the study's lock.

    Raises:
        As `open_reader` does.
    """
    regular_files.check(path, write=True)
    size = regular_files.n_bytes(path)
    return _open(path, "mode=ro", size) if regular_files.log_head(path) else _immutable(path, size)


def open_writer(path: Path) -> Connection:
    """A connection to append by; `open_checker` has shown what is in the file.

    Raises:
        As `open_reader` does.
    """
    with _opening:
        found = regular_files.check(path, write=True)
        return _held(_open(path, "mode=rw", None, _WRITER_SECONDS), found)


def open_second_writer(path: Path) -> Connection:
    """A second connection to append by, of the thread that flushes a journal which this process has open.

    Raises:
        sqlite3.Error: SQLite cannot open it.
    """
    return _open(path, "mode=rw", None, _WRITER_SECONDS)


def close_without_checkpoint(writer: Connection, path: Path) -> None:
    """Closes a writer and leaves its log as it is: SQLite's last connection folds the log, unless it can only read."""
    with suppress(sqlite3.Error), closing(_open(path, "mode=ro", None)) as last:
        last.execute("PRAGMA schema_version").fetchone()
        writer.close()
    writer.close()


@contextmanager
def reporting_concurrent_writes(connection: Connection, path: Path) -> Iterator[None]:
    """Says that the journal was written while it was read, where that explains an error.

    Raises:
        JournalError: the one of the block, or one that says so.
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


def _forget_the_parents() -> None:
    """In a forked child, which holds no lock of its parent and must not use the parent's connections."""
    global _opening
    _opening = threading.RLock()
    _in_place.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_the_parents)


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
            f"a journal that is being written is copied to be read, and there is no room: {error}."
        ) from error


def _remove_abandoned_copies() -> None:
    """Removes the folders of this user's processes that were killed while they made a copy, which takes half a minute at most."""
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
