"""Opens a journal's files only if they are regular files, and copies a journal that a driver may be writing.

A study's folder may belong to another user. SQLite trusts the files next to a database: it deletes any file that a crafted
rollback journal names. So every file is checked by name before SQLite opens the first one.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rbt_ray.errors import JournalError, StudyNotFoundError
from rbt_ray.private_files import open_regular

LOG_HEAD = 32
"""Bytes of the header of a write-ahead log, which has the salts that every frame repeats."""
_BESIDE = ("-wal", "-shm", "-flushed")
_ROLLBACK = "-journal"
_COPY_SECONDS = 30.0
_BLOCK = 2**20


def check(journal: Path, *, write: bool = False) -> os.stat_result:
    """Refuses a journal that is not a regular file, or that has a file next to it which no driver writes.

    Args:
        journal: the file `journal.sqlite`.
        write: also refuse files with a second hard link, which may be outside of the folder.

    Returns:
        The status of the journal's file.

    Raises:
        StudyNotFoundError: there is no journal.
        JournalError: one of the files was not written by a driver, or its status cannot be read.
    """
    found = _status(journal)
    if found is None:
        raise StudyNotFoundError(f"there is no study in {journal.parent} (no {journal.name}).")
    rollback = _beside(journal, _ROLLBACK)
    if _status(rollback) is not None:
        raise JournalError(
            f"{rollback} was not written by a driver: SQLite would change the journal with it, and could delete any file "
            f"that it names. Move it out of the folder."
        )
    for path in (journal, *(_beside(journal, suffix) for suffix in _BESIDE)):
        status = found if path == journal else _status(path)
        if status is None:
            continue
        if stat.S_ISLNK(status.st_mode):
            raise JournalError(f"{path} is a link: open the study in the folder that has the file itself.")
        if not stat.S_ISREG(status.st_mode):
            raise JournalError(
                f"{path} is not a regular file, as every file of a journal is: move it out of the folder."
            )
        if write and status.st_nlink > 1:
            raise JournalError(
                f"{path} has a second name (a hard link), and writing would change that file too: put a copy in its place."
            )
    return found


def check_new(journal: Path) -> None:
    """Refuses files next to a journal that is about to be created: SQLite would take their content for the new journal's.

    Raises:
        JournalError: there is a log or rollback journal of a removed journal, or a file that no driver writes.
    """
    for suffix in (_ROLLBACK, "-wal", "-shm"):
        path = _beside(journal, suffix)
        status = _status(path)
        if status is None or (stat.S_ISREG(status.st_mode) and (suffix == "-shm" or not status.st_size)):
            continue
        raise JournalError(
            f"{path} belongs to a journal that is gone, and may hold its last trials: move it out of the folder, or put "
            f"{journal.name} back."
        )


def can_be_read(path: Path) -> None:
    """Opens and closes a file, because SQLite's error does not say why it cannot open one.

    Raises:
        JournalError: it cannot be opened, or is not a regular file.
    """
    with _explaining(path):
        open_regular(path, follow=False).close()


def log_head(journal: Path) -> bytes:
    """Returns the header of the journal's write-ahead log; empty if there is no log or it has no frames.

    Raises:
        JournalError: it cannot be read.
    """
    with _explaining(journal):
        try:
            with open_regular(_beside(journal, "-wal"), follow=False) as log:
                return log.read(LOG_HEAD) if os.fstat(log.fileno()).st_size > LOG_HEAD else b""
        except FileNotFoundError:
            return b""


def n_bytes(journal: Path) -> int:
    """Returns the size of a journal and its write-ahead log in bytes."""
    return sum(status.st_size for path in (journal, _beside(journal, "-wal")) if (status := _status(path)))


def state(journal: Path) -> tuple[tuple[int, int, int], ...]:
    """Returns inode, size and time of the last write (ns) of a journal and its write-ahead log: equal while none is written."""
    found = (_status(journal), _status(_beside(journal, "-wal")))
    return tuple((0, 0, 0) if one is None else (one.st_ino, one.st_size, one.st_mtime_ns) for one in found)


def copy(journal: Path, to: Path) -> bool:
    """Copies a consistent state of a journal and its write-ahead log, even while a driver writes them.

    A driver only adds frames to the log, and moves pages from the log to the journal. So the journal, and the log copied
    after it, are consistent unless the log was restarted in between, which changes its header.

    Args:
        journal: the file to copy.
        to: the path of the copy; its log is written next to it.

    Returns:
        Whether there was a log; without one nothing is copied.

    Raises:
        JournalError: the files cannot be read, or the copy does not fit.
    """
    stop = time.monotonic() + _COPY_SECONDS
    while time.monotonic() < stop:
        before = log_head(journal)
        if not before:
            return False
        with _explaining(journal, "cannot be copied to be read"):
            try:
                _copy(journal, to)
                _copy(_beside(journal, "-wal"), _beside(to, "-wal"))
            except FileNotFoundError:  # the driver has ended and removed its log
                continue
        if log_head(journal) == before:
            return True
    raise JournalError(
        f"the journal {journal} changes faster than it can be copied: try again when its driver is slower, or done."
    )


def _copy(source: Path, to: Path) -> None:
    """Copies as many bytes as the file has at the start."""
    with open_regular(source, follow=False) as given, to.open("wb") as made:
        left = os.fstat(given.fileno()).st_size
        if left > (free := shutil.disk_usage(to.parent).free):
            raise JournalError(
                f"{source} has to be copied to be read ({left:,} bytes), and {to.parent.parent} has {free:,} bytes left: "
                f"set TMPDIR to a folder with more room."
            )
        while left and (block := given.read(min(left, _BLOCK))):
            made.write(block)
            left -= len(block)


def _beside(journal: Path, suffix: str) -> Path:
    return journal.with_name(journal.name + suffix)


def _status(path: Path) -> os.stat_result | None:
    with _explaining(path):
        try:
            return path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None


@contextmanager
def _explaining(path: Path, what: str = "cannot be read") -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise JournalError(f"{path} {what}: {said}.") from error
