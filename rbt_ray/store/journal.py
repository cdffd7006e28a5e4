"""What happened in a study, on disk before anybody acts on it: one SQLite file, append-only, one writer.

Every event is a row written whole or not at all, in SQLite's write-ahead log: a process killed at any instant leaves
every event that was appended. A thread flushes the log to the disk every second, which bounds what a power cut can
take, and notes how far it has come. Nothing in the file is code: numbers lie in columns of bytes, everything else is JSON.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rbt_ray._version import __version__
from rbt_ray.columns import Outcomes
from rbt_ray.errors import JournalBlockedError, JournalError, StudyNotFoundError
from rbt_ray.metric_columns import Column
from rbt_ray.store import journal_file, old_names, sound
from rbt_ray.store.flushed import Flushed
from rbt_ray.store.journal_file import FILE_NAME
from rbt_ray.study.well_typed import check_types
from rbt_ray.types import ACCOUNTING, Checkpoint, FloatArray, IntArray

_FLUSH_SECONDS = 1.0
_NOT_OURS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


@dataclass(frozen=True, slots=True)
class Asked:
    """`n` configs the searcher proposed, numbered from `first`, and a digest by which to know them again."""

    first: int
    n: int
    digest: str


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """A batch that was evaluated, or given up: trials at one fidelity, a row of `points` each."""

    trials: IntArray
    points: FloatArray
    fidelity: float
    outcomes: Outcomes
    worker: str
    started: float
    cpu_s: float
    wall_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Reviewed:
    """The best configs in detail: rows for people, and curves by name."""

    rows: list[dict[str, Any]]
    curves: dict[str, FloatArray]


@dataclass(frozen=True, slots=True)
class Ended:
    """A run of the study ended, finished or not."""

    reason: str
    wall_s: float
    n_workers: int
    backend: str
    notes: list[str] = field(default_factory=list)
    """What the search decided on its way, a sentence each."""
    version: str = __version__


Event: TypeAlias = Asked | Finished | Reviewed | Ended


class Journal:
    """One study's journal. Appending is for the process that holds the study's lock; reading is for anybody.

    Args:
        folder: the study's.
        write: to append to it, too.

    Raises:
        StudyNotFoundError: there is no journal in the folder.
        JournalError: the file is damaged, or of a format this version does not know.
    """

    def __init__(self, folder: Path, *, write: bool = False) -> None:
        self.path = folder / FILE_NAME
        if not self.path.is_file():
            raise StudyNotFoundError(f"there is no study in {folder} (no {FILE_NAME}).")
        self._write = write
        self._flushed = Flushed(self.path)
        flushed = self._flushed.read()  # first: a driver that is at work only adds events
        self._connection = journal_file.connect(self.path, write=write)
        try:
            self._meta = journal_file.read_meta(self._connection, self.path)
            if write:  # what is appended to a file whose pages do not fit together could destroy what is in it
                journal_file.check_structure(self._connection, self.path)
            self._last = self._last_number()
            self._refuse_a_loss(flushed)
        except JournalError:
            self._connection.close()
            raise
        self._stop = threading.Event()
        self._flusher: threading.Thread | None = None
        self.when_blocked: Callable[[JournalBlockedError, int], bool] = lambda _error, _tries: False
        """Asked, with the number of tries before, whether to try again where the disk is full or the file is held."""

    @classmethod
    def create(cls, folder: Path, definition: dict[str, Any]) -> Journal:
        """A new journal that begins with the study's definition.

        Raises:
            JournalError: the disk is full, or the folder cannot be written.
        """
        Flushed(folder / FILE_NAME).remove()  # of a journal that somebody removed without it
        journal_file.create(folder, definition)
        return cls(folder, write=True)

    @property
    def definition(self) -> dict[str, Any]:
        """The study as it was defined, before its first trial."""
        try:
            definition = json.loads(self._meta["definition"])
        except (ValueError, RecursionError):
            definition = None
        if not isinstance(definition, dict):
            raise JournalError(f"the journal {self.path} is damaged: its definition is no JSON object.")
        return definition

    def append(self, event: Event) -> None:
        """Writes an event; when this returns it survives kill -9 of any process.

        Raises:
            JournalBlockedError: the disk is full or another process holds the file, and `when_blocked` gave up.
            JournalError: the file cannot be written.
        """
        kind, header, body = _pack(event)
        text, number = json.dumps(header, default=repr), self._last + 1
        row = (number, kind, text, body, journal_file.seal(number, kind, text, body))
        tries = 0
        while True:
            try:
                with self._connection:
                    self._connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?)", row)
                break
            except sqlite3.Error as error:
                trouble = journal_file.trouble(self.path, error)
                if not (isinstance(trouble, JournalBlockedError) and self.when_blocked(trouble, tries)):
                    raise trouble from error
                tries += 1
        self._last = number
        if self._flusher is None:
            self._flusher = threading.Thread(target=self._flush_often, name="rbt-ray-flush", daemon=True)
            self._flusher.start()

    def read(self, *kinds: str) -> Iterator[Event]:
        """The events in the order they were appended, those of some kinds or all.

        Raises:
            JournalError: the journal is damaged. What was given before is as it was written.
        """
        journal_file.check_structure(self._connection, self.path)
        for kind, header, body, _ in journal_file.read_rows(self._connection, self.path):
            if not kinds or kind in kinds:
                try:
                    event = _unpack(kind, json.loads(header), body or b"")
                except _NOT_OURS as error:
                    said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
                    raise JournalError(f"the journal {self.path} holds what no version wrote: {said}.") from error
                yield event

    def flush(self) -> None:
        """Flushes the log to the disk: what was appended before survives a power cut.

        Raises:
            OSError: the log is gone, or the disk is at its end: appending says so.
        """
        number = self._last
        # SQLite's locks lie on other files than the log, so that opening and closing it here loses none of them.
        descriptor = os.open(self.path.with_name(self.path.name + "-wal"), os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._flushed.write(number)

    def close(self) -> None:
        """Folds the log into the file and closes it."""
        self._stop.set()
        if self._flusher is not None:
            self._flusher.join()
        if self._write:
            with suppress(sqlite3.Error):  # a full disk leaves the events in the log, from which they are read as well
                busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                if not busy:
                    self._flushed.remove()
        self._connection.close()

    def _refuse_a_loss(self, flushed: int) -> None:
        if self._last < flushed:
            raise JournalError(
                f"the journal {self.path} is damaged: its log gives {self._last:,} events, and {flushed:,} were on the disk. "
                f"Put a copy of the folder in its place; or remove {self._flushed.path.name} there, and what is lost runs "
                f"again."
            )

    def _last_number(self) -> int:
        try:
            return int(self._connection.execute("SELECT coalesce(max(number), 0) FROM events").fetchone()[0])
        except sqlite3.Error as error:
            raise JournalError(f"the journal {self.path} is damaged: {error}.") from error

    def _flush_often(self) -> None:
        while not self._stop.wait(_FLUSH_SECONDS):
            with suppress(OSError):
                self.flush()


def _pack(event: Event) -> tuple[str, dict[str, Any], bytes | None]:
    if isinstance(event, Asked):
        return "asked", {"first": event.first, "n": event.n, "digest": event.digest}, None
    if isinstance(event, Finished):
        return "finished", *_pack_finished(event)
    if isinstance(event, Reviewed):
        lengths = {name: len(curve) for name, curve in event.curves.items()}
        return (
            "reviewed",
            {"rows": event.rows, "curves": lengths, "accounting": ACCOUNTING},
            _bytes(list(event.curves.values())),
        )
    return "ended", asdict(event), None


def _pack_finished(event: Finished) -> tuple[dict[str, Any], bytes]:
    outcomes, n = event.outcomes, len(event.trials)
    contiguous = bool(event.trials[-1] - event.trials[0] == n - 1)
    all_completed = not outcomes.status.any()
    parts: list[NDArray[Any]] = [event.points] if contiguous else [event.points, event.trials]
    parts += [] if all_completed else [outcomes.status]
    parts.append(outcomes.duration_s)
    metrics: dict[str, Any] = {}
    for name, column in outcomes.metrics.items():
        there = bool(column.present.all())
        metrics[name] = {"kind": column.kind, "all": there}
        parts += [] if there else [column.present]
        if column.kind == "json":
            metrics[name]["values"] = column.plain()
        else:
            parts.append(column.values)
    header = {
        "first": int(event.trials[0]),
        "n": n,
        "n_params": event.points.shape[1],
        "fidelity": event.fidelity,
        "contiguous": contiguous,
        "all_completed": all_completed,
        "metrics": metrics,
        "accounting": ACCOUNTING,
        "errors": {str(row): text for row, text in outcomes.errors.items()},
        "checkpoints": {str(row): checkpoint.n_reports for row, checkpoint in outcomes.checkpoints.items()},
        "worker": event.worker,
        "started": event.started,
        "cpu_s": event.cpu_s,
        "wall_s": event.wall_s,
    }
    return header, _bytes(parts)


def _unpack(kind: str, header: dict[str, Any], body: bytes) -> Event:
    take = _Reader(body)
    event: Event
    if kind == "asked":
        event = Asked(header["first"], header["n"], header["digest"])
        check_types(event, "an event")
    elif kind == "finished":
        event = _unpack_finished(header, body, take)
    elif kind == "reviewed":
        sound.reviewed(header, body)
        curves = {name: take("<f8", length) for name, length in header["curves"].items()}
        sound.curves(curves)
        rows = [old_names.renamed_row(row, header.get("accounting", 1)) for row in header["rows"]]
        event = Reviewed(rows, curves)
    elif kind == "ended":
        event = Ended(**header)
        check_types(event, "an event")
    else:
        raise ValueError(f"an event of unknown kind {kind!r}")
    take.must_be_empty()
    return event


def _unpack_finished(header: dict[str, Any], body: bytes, take: _Reader) -> Finished:
    sound.finished(header, body)
    n = header["n"]
    points = take("<f8", n * header["n_params"]).reshape(n, header["n_params"])
    trials = np.arange(header["first"], header["first"] + n) if header["contiguous"] else take("<i8", n)
    status = np.zeros(n, np.uint8) if header["all_completed"] else take("u1", n)
    duration = take("<f8", n)
    sound.must(header["contiguous"] or bool((trials >= 0).all()), "trials", trials)
    metrics = {name: _unpack_column(described, n, take) for name, described in header["metrics"].items()}
    metrics = old_names.renamed(metrics, header.get("accounting", 1))
    errors = {int(row): text for row, text in header["errors"].items()}
    left = {int(row): Checkpoint(n_reports, b"") for row, n_reports in header.get("checkpoints", {}).items()}
    return Finished(
        trials=trials,
        points=points,
        fidelity=header["fidelity"],
        outcomes=Outcomes(status, metrics, errors, duration, left),
        worker=header["worker"],
        started=header["started"],
        cpu_s=header["cpu_s"],
        wall_s=header["wall_s"],
    )


def _unpack_column(described: dict[str, Any], n: int, take: _Reader) -> Column:
    present = np.ones(n, dtype=bool) if described["all"] else take("?", n)
    kind = described["kind"]
    if kind == "json":
        return Column("json", np.fromiter(described["values"], object, n), present)
    return Column(kind, take({"float": "<f8", "int": "<i8", "bool": "?"}[kind], n), present)


def _bytes(parts: list[NDArray[Any]]) -> bytes:
    return b"".join(np.ascontiguousarray(part, dtype=part.dtype.newbyteorder("<")).tobytes() for part in parts)


class _Reader:
    """Takes one column after the other from an event's body."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def __call__(self, dtype: str, n: int) -> NDArray[Any]:
        column = np.frombuffer(self._body, dtype, count=n, offset=self._at)
        self._at += column.nbytes
        return column

    def must_be_empty(self) -> None:
        """Refuses a body that holds more than its header says."""
        if self._at != len(self._body):
            raise ValueError(f"an event of {len(self._body):,} bytes, of which its header knows {self._at:,}")
