"""A journal's SQLite file: made, opened, and read row by row with the proof that every row is as it was written.

SQLite checks what lies in its log and little of what lies in the file itself: a byte that a disk changed would be read as
another number. So every row carries a checksum of its number, its kind and its bytes, rows are numbered without a gap, and
SQLite's own look at the file's structure comes before the first row is read, since that alone can hide the last ones.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

from rbt_ray.errors import JournalBlockedError, JournalError
from rbt_ray.private_files import replacing

FORMAT = 2
FILE_NAME = "journal.sqlite"
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE events (
    number INTEGER PRIMARY KEY,   -- 1, 2, 3, ... in the order of appending
    kind   TEXT NOT NULL,         -- asked, finished, reviewed, ended
    header TEXT NOT NULL,         -- JSON
    body   BLOB,                  -- the header's columns, one after the other, little-endian
    seal   INTEGER NOT NULL       -- crc32 of all of these
);
"""
_READER_SECONDS, _WRITER_SECONDS = 30.0, 5.0
_PASSING = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_PASSING_IO = {sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}

Row: TypeAlias = tuple[str, str, bytes | None, int]
"""An event's kind, header, body and seal."""


def seal(number: int, kind: str, header: str, body: bytes | None) -> int:
    """The checksum of a row; one burst of up to 32 changed bits never leaves it as it was."""
    text = header.encode()
    head = f"{number} {kind} {len(text)} {-1 if body is None else len(body)} ".encode()
    return zlib.crc32(body or b"", zlib.crc32(text, zlib.crc32(head)))


def create(folder: Path, definition: dict[str, Any]) -> None:
    """Writes a new journal's file, whole or not at all.

    Raises:
        JournalError: the disk is full, or the folder cannot be written.
    """
    meta = {"format": str(FORMAT), "definition": json.dumps(definition)}
    meta["seal"] = _seal_of_meta(meta)
    try:
        with (  # a study exists when its definition does
            replacing(folder / FILE_NAME) as draft,
            closing(sqlite3.connect(draft.name)) as connection,
            connection,
        ):
            connection.executescript("BEGIN;" + _SCHEMA)
            connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
    except (OSError, sqlite3.Error) as error:
        raise JournalError(f"the journal {folder / FILE_NAME} cannot be written: {_line(error)}.") from error


def connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """A connection to a journal's file, to append to it or only to read.

    Raises:
        JournalError: the file is none.
    """
    seconds = _WRITER_SECONDS if write else _READER_SECONDS
    connection = sqlite3.connect(path, timeout=seconds, check_same_thread=False)
    try:
        if write:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
        else:
            connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        connection.close()
        if _passes(error):
            raise trouble(path, error) from error
        raise JournalError(f"{path} is not a journal, or it is damaged: {_line(error)}.") from error
    return connection


def read_meta(connection: sqlite3.Connection, path: Path) -> dict[str, str]:
    """The format, the study's definition, and their seal.

    Raises:
        JournalError: the file is damaged, or of a format this version does not know.
    """
    try:
        meta = dict(connection.execute("SELECT key, value FROM meta NOT INDEXED ORDER BY rowid").fetchall())
    except sqlite3.Error as error:
        raise JournalError(f"the journal {path} cannot be read: {_line(error)}.") from error
    check_meta(meta, f"the journal {path}")
    return meta


def check_meta(meta: dict[str, str], what: str) -> None:
    """Looks whether this is what a journal of this version begins with.

    Args:
        meta: of a journal or a mirror.
        what: how an error names it.

    Raises:
        JournalError: it is damaged, or of a format this version does not know.
    """
    found = meta.get("format")
    if found == str(FORMAT) and meta.get("seal") == _seal_of_meta(meta):
        return
    if found is None or found == str(FORMAT) or not str(found).isdigit():
        raise JournalError(f"{what} is damaged: its beginning is not as it was written.")
    raise JournalError(
        f"{what} has format {found}; this version of rbt_ray reads format {FORMAT}. Open it with the version that wrote it."
    )


def check_structure(connection: sqlite3.Connection, path: Path) -> None:
    """Looks whether the file's pages fit together; what it costs follows from the file's size, about 1 s a GB.

    Raises:
        JournalError: they do not.
    """
    try:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise JournalError(f"the journal {path} is damaged: {_line(error)}.") from error
    if found != ("ok",):
        raise JournalError(f"the journal {path} is damaged: {_line(found[0])}.")


def read_rows(connection: sqlite3.Connection, path: Path, first: int = 1, n: int | None = None) -> Iterator[Row]:
    """The rows from number `first` on, all or at most `n`, each as it was written.

    Raises:
        JournalError: a row is missing, or not as it was written.
    """
    query = "SELECT number, kind, header, body, seal FROM events WHERE number >= ? ORDER BY number LIMIT ?"
    try:
        for expected, row in enumerate(connection.execute(query, (first, -1 if n is None else n)), first):
            yield checked(row[0] == expected, expected, row[1:], f"the journal {path}")
    except sqlite3.Error as error:
        raise JournalError(f"the journal {path} is damaged: {_line(error)}.") from error


def checked(in_place: bool, number: int, row: tuple[Any, ...], what: str) -> Row:
    """The row, if it is the one of that number and as it was written.

    Raises:
        JournalError: it is not; `what` is how the message names where it lies.
    """
    if in_place and len(row) == 4:
        kind, header, body, given = row
        fits = isinstance(kind, str) and isinstance(header, str) and (body is None or isinstance(body, bytes))
        if fits and seal(number, kind, header, body) == given:
            return kind, header, body, given
    raise JournalError(
        f"{what} is damaged: event {number} is missing, or not as it was written. Put a copy of the file in its place, or "
        f"begin the study again."
    )


def trouble(path: Path, error: sqlite3.Error) -> JournalError:
    """What to raise for an event that could not be written."""
    reason = f"the journal {path} cannot be written: {_line(error)}"
    text = f"{reason}. What is recorded is safe; go on with `rbt-ray resume {path.parent}`."
    return JournalBlockedError(text, reason) if _passes(error) else JournalError(text)


def _passes(error: sqlite3.Error) -> bool:
    """Whether the disk is full or another process holds the file: both may be over in a moment."""
    code = getattr(error, "sqlite_errorcode", 0)
    return (code & 0xFF) in _PASSING or code in _PASSING_IO


def _seal_of_meta(meta: dict[str, str]) -> str:
    return str(zlib.crc32(json.dumps([meta.get("format"), meta.get("definition")]).encode()))


def _line(said: object) -> str:
    """What SQLite says in one line: it may quote a schema that is damaged."""
    return "".join(letter for letter in " ".join(str(said).split()) if letter.isprintable())[:200]
