"""The rows of a journal's file, for copying them to a mirror and back."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from rbt_ray.errors import JournalError
from rbt_ray.private_files import replacing
from rbt_ray.store.journal_file import FILE_NAME, Row, connect, read_meta, read_rows


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

    def replace(self, first: int, rows: Iterable[Row]) -> None:
        """Replaces the rows from number `first` on, atomically."""
        try:
            with self._connection:
                self._connection.execute("DELETE FROM events WHERE number >= ?", (first,))
                numbered = ((first + at, *row) for at, row in enumerate(rows))
                self._connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?)", numbered)
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
