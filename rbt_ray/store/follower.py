"""Reads a journal again and again while a driver appends to it: each time only the events that are new."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rbt_ray.errors import JournalError
from rbt_ray.store import journal_file, regular_files
from rbt_ray.store.connection import Connection
from rbt_ray.store.events import Event, unpack
from rbt_ray.store.journal import INVALID

_MOST_BYTES = 32 * 2**20
_SHARE, _MOST_PAUSE_S = 0.02, 30.0


@dataclass(frozen=True, slots=True)
class News:
    """What a journal has that its follower had not read yet.

    Args:
        definition: the study's definition if this is the first reading, or if another journal is in the folder now: then
            `events` begins with its first event. None if the events follow those read before.
        events: the next events.
        has_more: whether there are more already, because these are many.
    """

    definition: dict[str, Any] | None
    events: list[Event]
    has_more: bool


class JournalFollower:
    """Follows the journal in a folder while another process may append to it.

    Nothing in the folder is written or locked, so that the driver does not notice. The journal's file alone is read first: a
    driver moves its log there every 4 MB. If that gives nothing new, the file and its log are copied and read, as every reader
    does; this takes at most 2 % of the time, so that a large journal is not copied every second.

    Args:
        folder: the study's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / journal_file.FILE_NAME
        self._definition: str | None = None
        self._n_read = 0
        self._checksum = 0  # of the last row that was read
        self._state: Any = None  # of the files, when everything in them had been read
        self._copy_after = 0.0

    def read(self) -> News:
        """Returns what is new; takes almost no time if no file has changed since the last reading.

        Raises:
            StudyNotFoundError: there is no journal in the folder.
            JournalError: the journal is damaged, or was written in a moment that makes another try necessary.
        """
        regular_files.check(self.path)
        state = regular_files.state(self.path)
        if state == self._state:
            return News(None, [], has_more=False)
        self._state = None
        if regular_files.log_head(self.path):
            with suppress(
                JournalError
            ):  # the driver moved its log meanwhile; a damaged file is damaged in the copy, too
                news = self._read(journal_file.connect_without_log(self.path))
                if news.events or news.definition is not None:
                    return news
            began = time.monotonic()
            if began < self._copy_after:
                return News(None, [], has_more=False)
            news = self._read(journal_file.connect(self.path, write=False))
            now = time.monotonic()
            self._copy_after = now + min((now - began) / _SHARE, _MOST_PAUSE_S)
        else:
            news = self._read(journal_file.connect(self.path, write=False))
        if not news.has_more:
            self._state = state
        return news

    def _read(self, opened: Connection) -> News:
        with closing(opened) as connection:
            meta = journal_file.read_meta(connection, self.path)
            last = journal_file.last_number(connection, self.path)
            is_other = meta["definition"] != self._definition
            if not is_other and last < self._n_read and connection.lacks_log:
                return News(None, [], has_more=False)
            is_other = is_other or not self._continues(connection, last)
            if is_other:
                journal_file.check_structure(connection, self.path)
                definition = journal_file.definition_of(meta, f"the journal {self.path}")
            n_before = 0 if is_other else self._n_read
            events, checksum, n_bytes = [], self._checksum, 0
            for event, its_checksum, size in self._events(connection, n_before + 1, last):
                events.append(event)
                checksum = its_checksum
                n_bytes += size
                if n_bytes > _MOST_BYTES:
                    break
        self._definition, self._n_read, self._checksum = meta["definition"], n_before + len(events), checksum
        return News(definition if is_other else None, events, has_more=self._n_read < last)

    def _continues(self, connection: Connection, last: int) -> bool:
        """Returns whether the journal has the last row that was read, unchanged."""
        if not self._n_read:
            return True
        if last < self._n_read:
            return False
        rows = journal_file.read_rows(connection, self.path, self._n_read, 1, least=self._n_read)
        return next(rows)[3] == self._checksum

    def _events(self, connection: Connection, first: int, last: int) -> Iterator[tuple[Event, int, int]]:
        """Yields events with their checksums and sizes in bytes."""
        for kind, header, body, checksum in journal_file.read_rows(connection, self.path, first, least=last):
            try:
                event = unpack(kind, json.loads(header), body or b"")
            except INVALID as error:
                said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
                raise JournalError(f"the journal {self.path} contains an invalid event: {said}.") from error
            yield event, checksum, len(header) + len(body or b"")
