"""The journal of a study: an append-only SQLite file with one writer, which records every event before it takes effect.

Every event is a row, written atomically to SQLite's write-ahead log, so that a process killed at any instant loses no event
that was appended. A thread flushes the log to the disk every second and records how far, which limits the loss of a power
cut. Nothing in the file is code: numbers are columns of bytes, everything else is JSON.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from rbt_ray.errors import JournalBlockedError, JournalError
from rbt_ray.store import journal_counts, journal_errors, journal_file, regular_files
from rbt_ray.store.connection import close_without_checkpoint
from rbt_ray.store.events import (
    Asked,
    Distrusted,
    Ended,
    EndReason,
    Evaluated,
    Event,
    Finished,
    Reviewed,
    Validated,
    pack,
    unpack,
)
from rbt_ray.store.extended import Extended
from rbt_ray.store.flusher import Flusher, FlushMarker
from rbt_ray.store.journal_file import FILE_NAME

__all__ = [
    "Asked",
    "Distrusted",
    "EndReason",
    "Ended",
    "Evaluated",
    "Event",
    "Extended",
    "Finished",
    "Journal",
    "Reviewed",
    "Validated",
]

INVALID = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What `unpack` and JSON raise for the row of an invalid event, besides `JournalError`."""


class Journal:
    """The journal of a study. Only the process that holds the study's lock may append; any process may read.

    Args:
        folder: the study's folder.
        write: whether to open it for appending.

    Raises:
        StudyNotFoundError: there is no journal in the folder.
        JournalError: the file is damaged, or has a format this version does not know.
    """

    def __init__(self, folder: Path, *, write: bool = False) -> None:
        self.path = folder / FILE_NAME
        regular_files.check(self.path, write=write)
        self._flushed = FlushMarker(self.path)
        flushed = self._flushed.read()  # read first, because a running driver only adds events
        self._connection = journal_file.connect(self.path, write=write)
        try:
            self._meta = journal_file.read_meta(self._connection, self.path)
            self._last = journal_file.last_number(self._connection, self.path)
            self._refuse_loss(flushed)
        except BaseException:
            self._connection.close()
            raise
        self.when_blocked: Callable[[JournalBlockedError, int], bool] = lambda _error, _tries: False
        """Returns whether to retry, given an error and the number of earlier retries; the flushing thread calls it, too."""
        self._gave_up = False
        self._flusher: Flusher | None = None
        if write:
            self._connection.execute("PRAGMA wal_autocheckpoint = 0")
            self._flusher = Flusher(
                self.path, self._flushed, lambda: self._last, lambda error, tries: self.when_blocked(error, tries)
            )

    @classmethod
    def create(cls, folder: Path, definition: dict[str, Any]) -> Journal:
        """Creates a journal with the study's definition.

        Raises:
            JournalError: the disk is full, or the folder cannot be written.
        """
        regular_files.check_new(folder / FILE_NAME)
        FlushMarker(folder / FILE_NAME).remove()  # left by a journal that was removed without it
        journal_file.create(folder, definition)
        return cls(folder, write=True)

    @property
    def definition(self) -> dict[str, Any]:
        """The study's definition."""
        return journal_file.definition_of(self._meta, f"the journal {self.path}")

    @property
    def lag_s(self) -> float:
        """An upper bound of the age, in seconds, of the oldest event that the disk does not have; 0 if it has all."""
        return 0.0 if self._flusher is None else self._flusher.lag_s

    def extensions(self) -> list[Extended]:
        """Returns the extensions of the study, in their order.

        Raises:
            JournalError: the journal is damaged.
        """
        if self._meta["format"] == str(journal_file.FORMAT):
            return []
        return [event for event in self.read("extended") if isinstance(event, Extended)]

    def append(self, *events: Event) -> None:
        """Writes events in one transaction, all or none; after it returns, they survive kill -9 of any process.

        Raises:
            JournalBlockedError: the disk is full or reports an error, for these events or earlier ones, or another process
                holds the file; and `when_blocked` gave up.
            JournalError: the file cannot be written.
        """
        flusher = self._writer()
        flusher.check()
        extends = any(isinstance(event, Extended) for event in events)
        tries = 0
        while True:
            try:
                with self._connection:
                    self._connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?)", self._rows(events))
                    if extends:
                        journal_file.mark_extended(self._connection, self._meta)
                break
            except sqlite3.Error as error:
                trouble = journal_errors.unwritable(self.path, error)
                if not (isinstance(trouble, JournalBlockedError) and self.when_blocked(trouble, tries)):
                    self._gave_up = True
                    raise trouble from error
                tries += 1
        self._last += len(events)
        if extends:
            self._meta = journal_file.extended_meta(self._meta)
        flusher.start()

    def read(self, *kinds: str) -> Iterator[Event]:
        """Yields the events in the order they were appended, of some kinds or all.

        Raises:
            JournalError: the journal is damaged. The events yielded before are as they were written.
        """
        journal_file.check_structure(self._connection, self.path)
        for row in journal_file.read_rows(self._connection, self.path, least=self._last):
            if not kinds or row[0] in kinds:
                yield self._event(row)

    def read_few(self, *kinds: str) -> Iterator[Event]:
        """Yields the events of kinds that a journal has few of, without reading its trials or checking its structure.

        Raises:
            JournalError: one of these events is damaged.
        """
        return map(self._event, journal_counts.few_rows(self._connection, self.path, kinds))

    def count_trials(self) -> tuple[int, float | None, float | None, str | None]:
        """Counts the trials without reading or verifying them; see `journal_counts.count_trials`."""
        return journal_counts.count_trials(self._connection, self.path)

    def _event(self, row: journal_file.Row) -> Event:
        kind, header, body, _ = row
        try:
            return unpack(kind, json.loads(header), body or b"")
        except INVALID as error:
            said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise JournalError(f"the journal {self.path} contains an invalid event: {said}.") from error

    def flush(self) -> None:
        """Flushes the log to the disk, so that the events appended so far survive a power cut.

        Raises:
            JournalBlockedError: the disk is full or reports an error.
            JournalError: the file is damaged.
        """
        self._writer().flush()

    def close(self) -> None:
        """Moves the log into the database file and closes it.

        Raises:
            JournalError: the disk does not store the appended events.
        """
        if self._flusher is not None:
            try:
                self._flusher.close(retry=not self._gave_up)
            except BaseException:
                close_without_checkpoint(self._connection, self.path)
                raise
            with suppress(sqlite3.Error):  # if the disk is full, the events stay in the log, which was flushed
                busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                if not busy:
                    self._flushed.remove()
        self._connection.close()

    def _rows(self, events: Iterable[Event]) -> Iterator[tuple[int, str, str, bytes | None, int]]:
        """Yields the rows of new events, one at a time: the events of a turn of the main loop may take much memory."""
        for number, event in enumerate(events, self._last + 1):
            kind, header, body = pack(event)
            text = json.dumps(header)
            yield number, kind, text, body, journal_file.row_checksum(number, kind, text, body)

    def _refuse_loss(self, flushed: int) -> None:
        if self._last < flushed:
            raise JournalError(
                f"the journal {self.path} is damaged: its log gives {self._last:,} events, and {flushed:,} were on the disk. "
                f"Restore the folder from a copy; or remove {self._flushed.path.name} there, and the lost trials run again."
            )

    def _writer(self) -> Flusher:
        if self._flusher is None:
            raise ValueError(f"the journal {self.path} was opened for reading only.")
        return self._flusher
