"""Creates, opens and reads a journal's SQLite file, and verifies that no row has changed since it was written.

SQLite verifies its log but little of the database file, so a byte that the disk changed would be read as a different number. Therefore
every row has a checksum of its number, kind and bytes, and rows are numbered without a gap. SQLite's own structure check runs
before the first row is read, because a damaged structure can hide the last rows.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

from rbt_ray.errors import JournalError
from rbt_ray.private_files import replacing
from rbt_ray.store.connection import (
    Connection,
    open_checker,
    open_reader,
    open_without_log,
    open_writer,
    reporting_concurrent_writes,
)
from rbt_ray.store.journal_errors import is_transient, malformed, one_line, unreadable, unwritable
from rbt_ray.store.schema import EXPECTED_OBJECTS, META_OBJECTS, SCHEMA, limit_steps, objects, steps_of

FORMAT = 2
EXTENDED_FORMAT = 3
"""The format of a journal with an extension, so that versions that do not know extensions refuse it."""
FILE_NAME = "journal.sqlite"
_MODE_AT, _WAL_MODE = 18, b"\2\2"  # https://www.sqlite.org/fileformat.html, 1.3.3: write and read version
RAISED = (sqlite3.Error, UnicodeDecodeError)
"""Raised by `execute` and fetching: SQLite's message may quote text of the file that is not UTF-8."""
_SLACK = 2**20
_MAX_EVENTS = 2**53  # of a journal that this process writes

Row: TypeAlias = tuple[str, str, bytes | None, int]
"""An event's kind, header, body and checksum."""


def row_checksum(number: int, kind: str, header: str, body: bytes | None) -> int:
    """Returns the checksum of a row; it detects every burst of up to 32 changed bits."""
    text = header.encode()
    head = f"{number} {kind} {len(text)} {-1 if body is None else len(body)} ".encode()
    return zlib.crc32(body or b"", zlib.crc32(text, zlib.crc32(head)))


def create(folder: Path, definition: dict[str, Any]) -> None:
    """Writes a new journal's file atomically.

    Raises:
        JournalError: the disk is full, or the folder cannot be written.
    """
    path = folder / FILE_NAME
    meta = {"format": str(FORMAT), "definition": json.dumps(definition)}
    meta["seal"] = _meta_checksum(meta)
    try:
        with replacing(path) as draft:  # a study exists as soon as its definition does
            with closing(sqlite3.connect(draft.name)) as connection:
                connection.executescript(f"PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY; BEGIN; {SCHEMA}")
                connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
                connection.commit()
            # A file that starts in WAL mode never gets a rollback journal, which `regular_files` refuses.
            draft.seek(_MODE_AT)
            draft.write(_WAL_MODE)
    except (OSError, sqlite3.Error) as error:
        raise JournalError(f"the journal {path} cannot be written: {one_line(error)}.") from error


def connect(path: Path, *, write: bool) -> Connection:
    """Opens a journal's file for reading or appending, after checking its schema and meta table.

    Raises:
        StudyNotFoundError: there is no file.
        JournalError: the file is not a journal, or is damaged.
    """
    if not write:
        return _checked(open_reader, path)
    with closing(_checked(open_checker, path)) as reader:
        # Appending to a file with a damaged structure could destroy its content.
        check_structure(reader, path)
    writer = _checked(open_writer, path)
    try:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("PRAGMA synchronous = NORMAL")
    except RAISED as error:
        writer.close()
        raise unwritable(path, error) from error
    return writer


def connect_without_log(path: Path) -> Connection:
    """Opens a journal's file for reading, without its log, after the same checks.

    Raises:
        StudyNotFoundError: there is no file.
        JournalError: the file is not a journal, or is damaged, or was written while it was read.
    """
    return _checked(open_without_log, path)


def _checked(to_open: Callable[[Path], Connection], path: Path) -> Connection:
    """Opens a connection and checks the schema and `meta` table, before anything else is selected."""
    try:
        made = to_open(path)
    except RAISED as error:
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
    except RAISED as error:
        if is_transient(error):
            raise unwritable(path, error) from error
        raise unreadable(path, error) from error
    if set(META_OBJECTS) <= set(found):
        read_meta(made, path)  # raises for another format, whatever its other tables are
    if found != EXPECTED_OBJECTS:
        strange = next((one for one in found if one not in EXPECTED_OBJECTS), None)
        what = "lacks a table" if strange is None else f"contains a {one_line(strange[0])} {one_line(strange[1])!r}"
        raise JournalError(f"{path} is not a journal, or it is damaged: it {what}, unlike any journal of rbt_ray.")


def read_meta(connection: Connection, path: Path) -> dict[str, str]:
    """Reads the format, the study's definition and their checksum.

    Raises:
        JournalError: the file is damaged, or has a format this version does not know.
    """
    try:
        with limit_steps(connection):
            # One value at a time: many damaged rows may refer to one value as long as the file.
            rows = connection.execute("SELECT key, value FROM meta NOT INDEXED ORDER BY rowid")
            meta = {key: value for key, value in rows if key in ("format", "definition", "seal")}
    except RAISED as error:
        raise unreadable(path, error) from error
    check_meta(meta, f"the journal {path}")
    return meta


def check_meta(meta: dict[str, str], what: str) -> None:
    """Checks the format and checksum of a meta table.

    Args:
        meta: the meta table of a journal or a mirror.
        what: its name in error messages.

    Raises:
        JournalError: it is damaged, or has a format this version does not know.
    """
    found = meta.get("format")
    texts = all(isinstance(meta.get(name), str) for name in ("format", "definition", "seal"))
    known = (str(FORMAT), str(EXTENDED_FORMAT))
    if texts and found in known and meta["seal"] == _meta_checksum(meta):
        return
    if not isinstance(found, str) or found in known or not re.fullmatch("[0-9]{1,9}", found):
        raise JournalError(f"{what} is damaged: its beginning is not as it was written.")
    raise JournalError(
        f"{what} has format {found}; this version of rbt_ray reads format {FORMAT}, and {EXTENDED_FORMAT} of extended studies. Open it with the version that wrote it."
    )


def extended_meta(meta: dict[str, str]) -> dict[str, str]:
    """Returns the meta table of the same study after an extension."""
    changed = {**meta, "format": str(EXTENDED_FORMAT)}
    return {**changed, "seal": _meta_checksum(changed)}


def mark_extended(connection: Connection, meta: dict[str, str]) -> None:
    """Changes the meta table to that of an extended study, within the transaction that writes the extension."""
    write_meta(connection, extended_meta(meta))


def write_meta(connection: Connection, meta: dict[str, str]) -> None:
    """Writes the values of the meta table."""
    connection.executemany("UPDATE meta SET value = ? WHERE key = ?", [(value, key) for key, value in meta.items()])


def definition_of(meta: dict[str, str], what: str) -> dict[str, Any]:
    """Returns the study's definition.

    Raises:
        JournalError: it is not a JSON object; `what` names the file in the message.
    """
    try:
        definition = json.loads(meta["definition"])
    except (ValueError, RecursionError):
        definition = None
    if not isinstance(definition, dict):
        raise JournalError(f"{what} is damaged: its definition is no JSON object.")
    return definition


def last_number(connection: Connection, path: Path) -> int:
    """Returns the number of the last event; 0 if there is none.

    Raises:
        JournalError: the number is impossible for a journal of this size.
    """
    with reporting_concurrent_writes(connection, path):
        try:
            with limit_steps(connection):
                last = connection.execute("SELECT coalesce(max(number), 0) FROM events").fetchone()[0]
        except RAISED as error:
            raise unreadable(path, error) from error
        if not (isinstance(last, int) and 0 <= last <= (connection.n_bytes or _MAX_EVENTS)):
            raise JournalError(f"the journal {path} is damaged: the number of its last event is {one_line(last)}.")
        return last


def check_structure(connection: Connection, path: Path) -> None:
    """Checks the structure of the database; takes about 1 s per GB.

    Raises:
        JournalError: it is damaged.
    """
    with reporting_concurrent_writes(connection, path):
        try:
            _check_size(connection, path)
            with limit_steps(connection, steps_of(connection.n_bytes)):
                found = connection.execute("PRAGMA quick_check(1)").fetchone()
        except RAISED as error:
            raise unreadable(path, error) from error
        if found != ("ok",):
            raise malformed(path, found and found[0])


def _check_size(connection: Connection, path: Path) -> None:
    """Refuses an impossible number of pages: SQLite allocates memory for each page that a damaged log claims."""
    [n_pages] = connection.execute("PRAGMA page_count").fetchone()
    [page] = connection.execute("PRAGMA page_size").fetchone()
    if connection.n_bytes is not None and n_pages * page > 2 * connection.n_bytes + _SLACK:
        raise JournalError(f"the journal {path} is damaged: it claims to have {n_pages:,} pages.")


def read_rows(
    connection: Connection, path: Path, first: int = 1, n: int | None = None, *, least: int = 0
) -> Iterator[Row]:
    """Yields verified rows, beginning with number `first`.

    Args:
        connection: an open journal.
        path: the journal's file, for messages.
        first: the number of the first row.
        n: the largest number of rows; None: all.
        least: the number of a row that must exist.

    Raises:
        JournalError: a row is missing, or not as it was written.
    """
    query = "SELECT number, kind, header, body, seal FROM events WHERE number >= ? ORDER BY number LIMIT ?"
    expected = first
    with reporting_concurrent_writes(connection, path):
        try:
            for row in connection.execute(query, (first, -1 if n is None else n)):
                yield verified_row(row[0] == expected, expected, row[1:], f"the journal {path}")
                expected += 1
        except RAISED as error:
            raise unreadable(path, error) from error
        if expected <= least:
            raise JournalError(f"the journal {path} is damaged: event {expected} is missing.")


def verified_row(in_place: bool, number: int, row: tuple[Any, ...], what: str) -> Row:
    """Returns the row if it has the expected number and its checksum is right.

    Raises:
        JournalError: it has not; `what` names the file in the message.
    """
    if in_place and len(row) == 4:
        kind, header, body, given = row
        fits = isinstance(kind, str) and isinstance(header, str) and (body is None or isinstance(body, bytes))
        if fits and isinstance(given, int) and row_checksum(number, kind, header, body) == given:
            return kind, header, body, given
    raise JournalError(
        f"{what} is damaged: event {number} is missing, or not as it was written. Restore the file from a copy, or "
        f"begin the study again."
    )


def _meta_checksum(meta: dict[str, str]) -> str:
    return str(zlib.crc32(json.dumps([meta.get("format"), meta.get("definition")]).encode()))


class RawEvents:
    """The rows of the journal in a folder; used in one thread, while another may append."""

    def __init__(self, folder: Path, *, write: bool = False) -> None:
        self.path = folder / FILE_NAME
        self._connection = connect(self.path, write=write)

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    @property
    def meta(self) -> dict[str, str]:
        """The format, the study's definition and their checksum."""
        return read_meta(self._connection, self.path)

    def rows(self, first: int, n: int | None = None) -> list[Row]:
        """Returns the rows from number `first` on, all or at most `n`."""
        return list(read_rows(self._connection, self.path, first, n))

    def piece(self, first: int, *, least: int, n_bytes: int) -> tuple[list[Row], bool]:
        """Returns rows from number `first` on, at least `least` and until they reach `n_bytes`; and whether they reach it."""
        found: list[Row] = []
        size = 0
        for row in read_rows(self._connection, self.path, first):
            found.append(row)
            size += len(row[1]) + len(row[2] or b"")
            if size >= n_bytes and len(found) >= least:
                return found, True
        return found, False

    def replace(self, first: int, rows: Iterable[Row], meta: dict[str, str]) -> None:
        """Replaces the rows from number `first` on, and the meta table, atomically."""
        try:
            with self._connection:
                self._connection.execute("DELETE FROM events WHERE number >= ?", (first,))
                numbered = ((first + at, *row) for at, row in enumerate(rows))
                self._connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?)", numbered)
                write_meta(self._connection, meta)
        except sqlite3.Error as error:
            raise JournalError(f"the journal {self.path} cannot be written: {error}.") from error

    def copy_to(self, path: Path) -> None:
        """Copies the journal to a new file."""
        try:
            with replacing(
                path
            ) as copy:  # SQLite writes to an existing empty file, so that the copy keeps its mode 0600
                self._connection.execute("VACUUM INTO ?", (copy.name,))
        except (sqlite3.Error, OSError) as error:
            raise JournalError(f"{path} cannot be written: {error}.") from error


def chain_digest(before: str, rows: Iterable[Row]) -> str:
    """Returns the digest of a history with the digest `before`, continued by these rows."""
    digest = hashlib.sha256(before.encode())
    for kind, header, body, _ in rows:
        for part in (kind.encode(), header.encode(), body or b""):
            digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()
