"""Reads little of a journal's SQLite file: the number of its trials, and events of kinds that it has few of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rbt_ray.errors import JournalError
from rbt_ray.store.connection import Connection, reporting_concurrent_writes
from rbt_ray.store.journal_errors import unreadable
from rbt_ray.store.journal_file import RAISED, Row, verified_row
from rbt_ray.store.schema import limit_steps, steps_of

_LAST_OF_RUN = "SELECT kind FROM events WHERE kind IN ('asked', 'finished', 'ended') ORDER BY number DESC LIMIT 1"


def count_trials(connection: Connection, path: Path) -> tuple[int, float | None, float | None, str | None]:
    """Counts the recorded trials from the headers of their rows, which are not verified; reads no body.

    Returns:
        How many; when the first batch started and the last one ended, in seconds since the epoch; the kind of the
        last event of a run: "asked", "finished" or "ended".

    Raises:
        JournalError: the file cannot be read, or a header holds something else than numbers.
    """
    query = """
        SELECT sum(json_extract(header, '$.n')), min(json_extract(header, '$.started')),
               max(json_extract(header, '$.started') + json_extract(header, '$.wall_s'))
        FROM events WHERE kind = 'finished'
    """
    with reporting_concurrent_writes(connection, path):
        try:
            with limit_steps(connection, steps_of(connection.n_bytes)):
                n, started, ended = connection.execute(query).fetchone()
                last = connection.execute(_LAST_OF_RUN).fetchone()
        except RAISED as error:
            raise unreadable(path, error) from error
    numbers = all(value is None or isinstance(value, (int, float)) for value in (started, ended))
    if not (n is None or isinstance(n, int)) or not numbers or not isinstance(last and last[0], str | None):
        raise JournalError(
            f"the journal {path} is damaged: a header of its trials does not have their number and time."
        )
    return n or 0, started, ended, last and last[0]


def few_rows(connection: Connection, path: Path, kinds: tuple[str, ...]) -> Iterator[Row]:
    """Yields the verified rows of kinds that a journal has few of; other rows are not read.

    Raises:
        JournalError: a row is not as it was written.
    """
    query = f"SELECT number, kind, header, body, seal FROM events WHERE kind IN ({','.join('?' * len(kinds))}) ORDER BY number"
    with reporting_concurrent_writes(connection, path):
        try:
            with limit_steps(connection, steps_of(connection.n_bytes)):
                for row in connection.execute(query, kinds):
                    yield verified_row(True, row[0], row[1:], f"the journal {path}")
        except RAISED as error:
            raise unreadable(path, error) from error
