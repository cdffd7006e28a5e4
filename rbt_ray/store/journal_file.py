"""A journal's SQLite file: made, opened, and read row by row with the proof that every row is as it was written.

SQLite checks what lies in its log and little of what lies in the file itself: a byte that a disk changed would be read as
another number. So every row carries a checksum of its number, its kind and its bytes, rows are numbered without a gap, and
SQLite's own look at the file's structure comes before the first row is read, since that alone can hide the last ones.
"""

from __future__ import annotations

import json
import re
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

from rbt_ray.errors import JournalError
from rbt_ray.private_files import replacing
from rbt_ray.store.connection import Connection, open_checker, open_reader, open_writer, reporting_concurrent_writes
from rbt_ray.store.journal_errors import malformed, one_line, passes, unreadable, unwritable
from rbt_ray.store.schema import META, OURS, SCHEMA, limit_steps, objects, steps_of

FORMAT = 2
FILE_NAME = "journal.sqlite"
_MODE_AT, _WAL_MODE = 18, b"\2\2"  # https://www.sqlite.org/fileformat.html, 1.3.3: write and read version
_RAISED = (sqlite3.Error, UnicodeDecodeError)
"""By `execute` and fetching: SQLite's message may quote text of the file that is no UTF-8."""
_SLACK = 2**20
_MOST = 2**53  # events of a journal that this process writes

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
    path = folder / FILE_NAME
    meta = {"format": str(FORMAT), "definition": json.dumps(definition)}
    meta["seal"] = _seal_of_meta(meta)
    try:
        with replacing(path) as draft:  # a study exists when its definition does
            with closing(sqlite3.connect(draft.name)) as connection:
                connection.executescript(f"PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY; BEGIN; {SCHEMA}")
                connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
                connection.commit()
            # A file that begins in WAL mode never has a rollback journal beside it, which `regular_files` refuses.
            draft.seek(_MODE_AT)
            draft.write(_WAL_MODE)
    except (OSError, sqlite3.Error) as error:
        raise JournalError(f"the journal {path} cannot be written: {one_line(error)}.") from error


def connect(path: Path, *, write: bool) -> Connection:
    """A connection to a journal's file, to append to it or only to read, with a beginning that is a journal's.

    Raises:
        StudyNotFoundError: there is no file.
        JournalError: the file is no journal, or is damaged.
    """
    if not write:
        return _checked(open_reader, path)
    with closing(_checked(open_checker, path)) as reader:
        # What is appended to a file whose pages do not fit together could destroy what is in it.
        check_structure(reader, path)
    writer = _checked(open_writer, path)
    try:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("PRAGMA synchronous = NORMAL")
    except _RAISED as error:
        writer.close()
        raise unwritable(path, error) from error
    return writer


def _checked(to_open: Callable[[Path], Connection], path: Path) -> Connection:
    """The connection, if the schema and `meta` are those of a journal: before that nothing else is selected."""
    try:
        made = to_open(path)
    except _RAISED as error:
        raise unreadable(path, error) from error
    try:
        with reporting_concurrent_writes(made, path):
            _check_schema(made, path)
    except BaseException:
        made.close()
        raise
    return made


def _check_schema(made: Connection, path: Path) -> None:
    try:
        found = objects(made)
    except _RAISED as error:
        if passes(error):
            raise unwritable(path, error) from error
        raise unreadable(path, error) from error
    if set(META) <= set(found):
        read_meta(made, path)  # another format says so here, whatever its other tables are
    if found != OURS:
        strange = next((one for one in found if one not in OURS), None)
        what = "lacks a table" if strange is None else f"holds a {one_line(strange[0])} {one_line(strange[1])!r}"
        raise JournalError(f"{path} is not a journal, or it is damaged: it {what}, unlike every journal of rbt_ray.")


def read_meta(connection: Connection, path: Path) -> dict[str, str]:
    """The format, the study's definition, and their seal.

    Raises:
        JournalError: the file is damaged, or of a format this version does not know.
    """
    try:
        with limit_steps(connection):
            # One value at a time: damaged rows may share the bytes of one that is as long as the file.
            rows = connection.execute("SELECT key, value FROM meta NOT INDEXED ORDER BY rowid")
            meta = {key: value for key, value in rows if key in ("format", "definition", "seal")}
    except _RAISED as error:
        raise unreadable(path, error) from error
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
    texts = all(isinstance(meta.get(name), str) for name in ("format", "definition", "seal"))
    if texts and found == str(FORMAT) and meta["seal"] == _seal_of_meta(meta):
        return
    if not isinstance(found, str) or found == str(FORMAT) or not re.fullmatch("[0-9]{1,9}", found):
        raise JournalError(f"{what} is damaged: its beginning is not as it was written.")
    raise JournalError(
        f"{what} has format {found}; this version of rbt_ray reads format {FORMAT}. Open it with the version that wrote it."
    )


def definition_of(meta: dict[str, str], what: str) -> dict[str, Any]:
    """The study as it was defined, before its first trial.

    Raises:
        JournalError: it is no JSON object; `what` is how the message names the file.
    """
    try:
        definition = json.loads(meta["definition"])
    except (ValueError, RecursionError):
        definition = None
    if not isinstance(definition, dict):
        raise JournalError(f"{what} is damaged: its definition is no JSON object.")
    return definition


def last_number(connection: Connection, path: Path) -> int:
    """The number of the last event; 0 where there is none.

    Raises:
        JournalError: it is none that a journal of this size can have.
    """
    with reporting_concurrent_writes(connection, path):
        try:
            with limit_steps(connection):
                last = connection.execute("SELECT coalesce(max(number), 0) FROM events").fetchone()[0]
        except _RAISED as error:
            raise unreadable(path, error) from error
        if not (isinstance(last, int) and 0 <= last <= (connection.n_bytes or _MOST)):
            raise JournalError(f"the journal {path} is damaged: the number of its last event is {one_line(last)}.")
        return last


def check_structure(connection: Connection, path: Path) -> None:
    """Looks whether the file's pages fit together; what it costs follows from the file's size, about 1 s a GB.

    Raises:
        JournalError: they do not.
    """
    with reporting_concurrent_writes(connection, path):
        try:
            _check_size(connection, path)
            with limit_steps(connection, steps_of(connection.n_bytes)):
                found = connection.execute("PRAGMA quick_check(1)").fetchone()
        except _RAISED as error:
            raise unreadable(path, error) from error
        if found != ("ok",):
            raise malformed(path, found and found[0])


def _check_size(connection: Connection, path: Path) -> None:
    """Refuses more pages than the files can hold: SQLite takes memory for each page that a damaged log claims."""
    [n_pages] = connection.execute("PRAGMA page_count").fetchone()
    [page] = connection.execute("PRAGMA page_size").fetchone()
    if connection.n_bytes is not None and n_pages * page > 2 * connection.n_bytes + _SLACK:
        raise JournalError(f"the journal {path} is damaged: it claims to have {n_pages:,} pages.")


def read_rows(
    connection: Connection, path: Path, first: int = 1, n: int | None = None, *, least: int = 0
) -> Iterator[Row]:
    """The rows from number `first` on, all or at most `n`, each as it was written.

    Args:
        connection: to the journal.
        path: of the journal, for messages.
        first: where to begin.
        n: how many at most; None: all.
        least: the number of a row that was there before.

    Raises:
        JournalError: a row is missing, or not as it was written.
    """
    query = "SELECT number, kind, header, body, seal FROM events WHERE number >= ? ORDER BY number LIMIT ?"
    expected = first
    with reporting_concurrent_writes(connection, path):
        try:
            for row in connection.execute(query, (first, -1 if n is None else n)):
                yield checked(row[0] == expected, expected, row[1:], f"the journal {path}")
                expected += 1
        except _RAISED as error:
            raise unreadable(path, error) from error
        if expected <= least:
            raise JournalError(f"the journal {path} is damaged: event {expected} is missing.")


def checked(in_place: bool, number: int, row: tuple[Any, ...], what: str) -> Row:
    """The row, if it is the one of that number and as it was written.

    Raises:
        JournalError: it is not; `what` is how the message names where it lies.
    """
    if in_place and len(row) == 4:
        kind, header, body, given = row
        fits = isinstance(kind, str) and isinstance(header, str) and (body is None or isinstance(body, bytes))
        if fits and isinstance(given, int) and seal(number, kind, header, body) == given:
            return kind, header, body, given
    raise JournalError(
        f"{what} is damaged: event {number} is missing, or not as it was written. Put a copy of the file in its place, or "
        f"begin the study again."
    )


def _seal_of_meta(meta: dict[str, str]) -> str:
    return str(zlib.crc32(json.dumps([meta.get("format"), meta.get("definition")]).encode()))
