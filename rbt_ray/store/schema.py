"""The tables of a journal, and what keeps the SQL in a stranger's file from running.

A schema is text in the file. A view, a generated column or a trigger of the right name runs with our own statements, so
nothing is selected before SQLite's list of the schema equals ours.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE events (
    number INTEGER PRIMARY KEY,   -- 1, 2, 3, ... in the order of appending
    kind   TEXT NOT NULL,         -- asked, finished, reviewed, ended
    header TEXT NOT NULL,         -- JSON
    body   BLOB,                  -- the header's columns, one after the other, little-endian
    seal   INTEGER NOT NULL       -- crc32 of all of these
);
"""
_LIMITS = {
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 10_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 16,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 20,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 4,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 10_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 8,
    sqlite3.SQLITE_LIMIT_ATTACHED: 1,  # `VACUUM INTO` attaches the file it makes
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 100,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 16,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_LEAST_LENGTH = 2**20
_STEPS_TO_OPEN = 5_000  # of SQLite's machine: the schema of a journal, or its `meta`, takes about a hundred
_STEPS_A_BYTE = 20  # a row takes some 30 to check and has at least a dozen bytes


def restrict(connection: sqlite3.Connection, longest: int | None) -> None:
    """Bounds what a statement may take, before the first one reads the file.

    Args:
        connection: a new one.
        longest: bytes of the longest value that can be in the file; None where the file still grows.
    """
    for limit, value in _LIMITS.items():
        connection.setlimit(limit, value)
    if longest is not None:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, min(max(longest, _LEAST_LENGTH), 10**9))
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA mmap_size = 0")  # a file that is cut while it is mapped kills the process


def steps_of(n_bytes: int | None) -> int:
    """How many steps reading all of a file may take; for None, a file that this process writes, any number."""
    return 2**62 if n_bytes is None else _STEPS_TO_OPEN + _STEPS_A_BYTE * n_bytes


@contextmanager
def limit_steps(connection: sqlite3.Connection, steps: int = _STEPS_TO_OPEN) -> Iterator[None]:
    """Stops a statement that takes more steps than an honest file needs: a count, so that a slow disk stops nothing.

    Args:
        connection: to the journal.
        steps: of SQLite's machine; the default is for what reads the file's beginning.
    """
    left = steps // _STEPS_TO_OPEN

    def stop() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    connection.set_progress_handler(stop, _STEPS_TO_OPEN)
    try:
        yield
    finally:
        connection.set_progress_handler(None, _STEPS_TO_OPEN)


def objects(connection: sqlite3.Connection) -> list[tuple[str, str, str, str]]:
    """Type, name, table and definition of all that the file's schema lists, sorted, or of the first ten.

    Raises:
        sqlite3.Error: the schema cannot be read.
    """
    with limit_steps(connection):
        query = "SELECT type, substr(name, 1, 99), substr(tbl_name, 1, 99), sql FROM sqlite_master LIMIT 10"
        found = connection.execute(query).fetchall()
    return sorted((str(kind), str(name), str(table), _plain(sql)) for kind, name, table, sql in found)


def _plain(sql: object) -> str:
    """A definition without its comments and line breaks: only those that SQLite, too, takes for such."""
    return re.sub(r"[ \t\r\n\f]+", " ", re.sub(r"--[^\n]*", " ", str(sql or ""))).strip(" ")


_meta, _events = (_plain(part) for part in re.sub(r"--[^\n]*", "", SCHEMA).split(";")[:2])
META = [("index", "sqlite_autoindex_meta_1", "meta", ""), ("table", "meta", "meta", _meta)]
"""The part that journals of every format have."""
OURS = sorted([*META, ("table", "events", "events", _events)])
