"""The tables of a journal, and the protection against SQL in a file from another user.

A schema is text in the file. A view, a generated column or a trigger with the right name would run with rbt_ray's own
statements, so nothing is selected before the file's schema equals the expected one.
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
    sqlite3.SQLITE_LIMIT_ATTACHED: 1,  # `VACUUM INTO` attaches the file it writes
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 100,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 16,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_LEAST_LENGTH = 2**20
_STEPS_TO_OPEN = 5_000  # of SQLite's virtual machine; reading the schema or `meta` takes about a hundred
_STEPS_A_BYTE = 20  # checking a row takes some 30 steps, and a row has at least a dozen bytes


def restrict(connection: sqlite3.Connection, longest: int | None) -> None:
    """Limits the resources of statements, before the first one reads the file.

    Args:
        connection: a new connection.
        longest: the size in bytes of the longest value that can be in the file; None if the file still grows.
    """
    for limit, value in _LIMITS.items():
        connection.setlimit(limit, value)
    if longest is not None:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, min(max(longest, _LEAST_LENGTH), 10**9))
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA mmap_size = 0")  # truncating a mapped file would kill the process


def steps_of(n_bytes: int | None) -> int:
    """Returns how many steps reading a whole file may take; None, a file that this process writes, has no limit."""
    return 2**62 if n_bytes is None else _STEPS_TO_OPEN + _STEPS_A_BYTE * n_bytes


@contextmanager
def limit_steps(connection: sqlite3.Connection, steps: int = _STEPS_TO_OPEN) -> Iterator[None]:
    """Stops a statement that takes more steps than a valid file needs; a slow disk does not count.

    Args:
        connection: an open journal.
        steps: steps of SQLite's virtual machine; the default is for reading the schema or `meta`.
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
    """Returns type, name, table and definition of the objects in the file's schema, sorted; at most ten.

    Raises:
        sqlite3.Error: the schema cannot be read.
    """
    with limit_steps(connection):
        query = "SELECT type, substr(name, 1, 99), substr(tbl_name, 1, 99), sql FROM sqlite_master LIMIT 10"
        found = connection.execute(query).fetchall()
    return sorted((str(kind), str(name), str(table), _normalized(sql)) for kind, name, table, sql in found)


def _normalized(sql: object) -> str:
    """Removes comments and line breaks from a definition, as SQLite recognizes them."""
    return re.sub(r"[ \t\r\n\f]+", " ", re.sub(r"--[^\n]*", " ", str(sql or ""))).strip(" ")


_meta, _events = (_normalized(part) for part in re.sub(r"--[^\n]*", "", SCHEMA).split(";")[:2])
META_OBJECTS = [("index", "sqlite_autoindex_meta_1", "meta", ""), ("table", "meta", "meta", _meta)]
"""The objects that journals of every format have."""
EXPECTED_OBJECTS = sorted([*META_OBJECTS, ("table", "events", "events", _events)])
