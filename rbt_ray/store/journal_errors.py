"""The errors to raise if a journal's files cannot be read, written or flushed."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import tempfile
from pathlib import Path

from rbt_ray.errors import JournalBlockedError, JournalError

_TRANSIENT = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR}
_UNREADABLE = {
    *_TRANSIENT,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_INTERRUPT,
}
_PAGE_ERROR = re.compile(r"error code=(\d+)")
_NO_ROOM = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


def unwritable(path: Path, error: Exception) -> JournalError:
    """Returns the error for an event that could not be written."""
    reason = f"the journal {path} cannot be written: {one_line(error)}"
    text = f"{reason}. Recorded trials are safe; continue with `rbt-ray resume {path.parent}`."
    if not is_transient(error):
        return JournalError(text)
    is_fault = _code(error) == sqlite3.SQLITE_IOERR and not _is_full(path.parent)
    return JournalBlockedError(text, reason, is_fault=is_fault)


def unreadable(path: Path, error: Exception) -> JournalError:
    """Returns the error for a journal that SQLite could not read; an error of the disk or of a lock is not damage."""
    return JournalError(f"the journal {path} {_what(_code(error))}: {one_line(error)}.")


def malformed(path: Path, found: object) -> JournalError:
    """Returns the error for a result of `PRAGMA quick_check`, which reports errors of reading a page in its text."""
    code = _PAGE_ERROR.search(str(found))
    return JournalError(f"the journal {path} {_what(int(code[1]) if code else 0)}: {one_line(found)}.")


def unflushed(path: Path, error: OSError) -> JournalBlockedError:
    """Returns the error for a file of the journal that could not be flushed to the disk."""
    reason = f"the disk does not store the data written to {path} (fsync: {error.strerror})"
    text = (
        f"{reason}. A power cut can now lose the last events. Check the disk and the system's log, then continue with "
        f"`rbt-ray resume {path.parent}`."
    )
    return JournalBlockedError(text, reason, is_fault=error.errno not in _NO_ROOM)


def is_transient(error: Exception) -> bool:
    """Returns whether the error may pass: the disk is full or reports an error, or another process holds the file."""
    return _code(error) in _TRANSIENT


def one_line(said: object) -> str:
    """Returns a message of SQLite, which may quote a damaged schema, as one printable line."""
    return "".join(letter for letter in " ".join(str(said).split()) if letter.isprintable())[:200]


def _what(code: int) -> str:
    return "cannot be read" if code & 0xFF in _UNREADABLE else "is damaged"


def _code(error: Exception) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _is_full(folder: Path) -> bool:
    """Returns whether the disk or a quota is full, which SQLite reports as an I/O error in some cases."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno in _NO_ROOM
    return False
