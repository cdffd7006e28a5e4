"""The events of a journal: validated on creation, and packed into a header of JSON and a body of columns.

A driver creates events from the answers of workers, and a reader from a file, with the same classes. A
driver therefore never appends an event that a reader would refuse.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from rbt_ray import recordable
from rbt_ray._version import __version__
from rbt_ray.block_sums import N_SUMS, N_WITH_GROWTH, BlockRows
from rbt_ray.columns import Outcomes
from rbt_ray.metric_columns import Column
from rbt_ray.recordable import check_types, require
from rbt_ray.store import extended, validate
from rbt_ray.store.extended import Extended
from rbt_ray.study.draw import AUDIT_FIRST
from rbt_ray.types import ACCOUNTING, COMPLETED, Checkpoint, FloatArray, IntArray

Value = TypeVar("Value")

_OF_A_BACKTEST = frozenset(
    [
        "total_return", "cagr", "volatility", "sharpe", "sortino", "max_drawdown", "calmar", "turnover", "exposure",
        "n_trades", "skew", "kurtosis",
    ]
)  # fmt: skip
"""The metrics of accounting 1."""


def renamed(metrics: Mapping[str, Value], accounting: int) -> dict[str, Value]:
    """Returns metrics by their current names, in the same order.

    Renames only metrics of `rbt.backtest`: all names are its own, or names that only it has are present. Other backtesters
    have an `n_trades` of their own.

    Args:
        metrics: by the names they were written with.
        accounting: the version of the rules they were computed by.
    """
    is_own = _OF_A_BACKTEST.issuperset(metrics) or {"turnover", "exposure"} <= set(metrics)
    if accounting > 1 or not is_own:
        return dict(metrics)
    return {"n_fills" if name == "n_trades" else name: value for name, value in metrics.items()}


def renamed_row(row: Mapping[str, Any], accounting: int) -> dict[str, Any]:
    """Returns a row of a review with current names."""
    return {
        part: renamed(found, accounting) if isinstance(found, dict) and part != "config" else found
        for part, found in row.items()
    }


@dataclass(frozen=True, slots=True)
class Asked:
    """The searcher proposed `n` configs, numbered from `first`; the digest verifies them when they are proposed again."""

    first: int
    n: int
    digest: str

    def __post_init__(self) -> None:
        check_types(self, "an event")
        require(recordable.is_whole(self.first) and recordable.is_whole(self.n), "trials", self.first)
        _set(self, digest=recordable.text(self.digest))


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """A batch of trials at one fidelity was evaluated or failed; `points` has one row per trial.

    Times outside the recordable range become the nearest one in it.

    Raises:
        ValueError: a part is not of `n` trials, or a value is impossible for a trial.
    """

    trials: IntArray
    points: FloatArray
    fidelity: float
    outcomes: Outcomes
    worker: str
    started: float
    cpu_s: float
    wall_s: float

    def __post_init__(self) -> None:
        n = len(self.trials)
        trials = recordable.array(self.trials, np.int64, (n,), "trials")
        require(n > 0 and 0 <= int(trials.min()) <= recordable.LARGEST_NUMBER, "trials", trials)
        require(self.outcomes.block_sums is None or self.fidelity == 1, "block_sums", self.fidelity)
        points = np.asarray(self.points, np.float64)
        require(points.ndim == 2 and len(points) == n, "points", points)
        require(validate.is_finite_number(self.fidelity) and 0 < self.fidelity <= 1, "fidelity", self.fidelity)
        _set(
            self,
            trials=trials,
            points=points,
            outcomes=self.outcomes.recordable(n),
            worker=recordable.text(self.worker),
            started=recordable.seconds(self.started),
            cpu_s=recordable.seconds(self.cpu_s),
            wall_s=recordable.seconds(self.wall_s),
        )


Role: TypeAlias = Literal["audit", "winner"]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """A batch of trials was evaluated at full fidelity after the search; it is not in the table of the search.

    Args:
        role: "audit": configs drawn at random, numbered from `AUDIT_FIRST`; "winner": the best trial alone, for its block sums.
        batch: the trials and their outcomes.

    Raises:
        ValueError: the trials are not numbered, or not evaluated, as those of this role are.
    """

    role: Role
    batch: Finished

    def __post_init__(self) -> None:
        require(type(self.role) is str and self.role in get_args(Role), "role", self.role)
        is_audit = self.batch.trials >= AUDIT_FIRST
        fits = bool(is_audit.all()) if self.role == "audit" else len(is_audit) == 1 and not is_audit[0]
        require(fits, "trials", self.batch.trials)
        require(self.batch.fidelity == 1, "fidelity", self.batch.fidelity)


@dataclass(frozen=True, slots=True, eq=False)
class Reviewed:
    """The best configs were re-run in detail: a row per config, and curves by name.

    Raises:
        ValueError: a part has another type or value than a review can have.
    """

    rows: list[dict[str, Any]]
    curves: dict[str, FloatArray]

    def __post_init__(self) -> None:
        # A config may hold options that JSON cannot represent: keep the rows as a reader would get them.
        rows = json.loads(json.dumps(self.rows, default=repr, ensure_ascii=False).encode("utf-8", "replace"))
        validate.check_reviewed(rows, self.curves)
        curves = {recordable.text(name): np.asarray(curve, np.float64) for name, curve in self.curves.items()}
        _set(self, rows=rows, curves=curves)


@dataclass(frozen=True, slots=True, eq=False)
class Validated:
    """The search was tested on the windows of its validation: a row per window, and curves by name.

    Args:
        rows: per window its ranges `train` and `test`, `trial`, `config`, `in_sample`, `metrics` of the test bars, `error`.
        curves: "time_ms" and "benchmark" of the training bars; "returns", those of the test bars of all windows in order.
        periods_per_year: bars in a year.

    Raises:
        ValueError: a part has another type or value than a validation can have.
    """

    rows: list[dict[str, Any]]
    curves: dict[str, FloatArray]
    periods_per_year: float

    def __post_init__(self) -> None:
        rows = json.loads(json.dumps(self.rows, default=repr, ensure_ascii=False).encode("utf-8", "replace"))
        validate.check_validated(rows, self.curves, self.periods_per_year)
        curves = {recordable.text(name): np.asarray(curve, np.float64) for name, curve in self.curves.items()}
        _set(self, rows=rows, curves=curves)


EndReason: TypeAlias = Literal[
    "done", "interrupted", "max_failures", "identical_failures", "time_budget", "prices changed"
]
"""Why a run of a study ended: the search is complete, or what stopped it early."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A run of the study ended, finished or not. The journal of another version may hold another `reason`."""

    reason: EndReason | str
    wall_s: float
    n_workers: int
    backend: str
    notes: list[str] = field(default_factory=list)
    """Decisions of the search, one sentence each."""
    version: str = __version__

    def __post_init__(self) -> None:
        _set(self, wall_s=recordable.seconds(self.wall_s))
        check_types(self, "an event")
        for name in ("reason", "backend", "version"):
            _set(self, **{name: recordable.text(getattr(self, name))})
        _set(self, notes=[recordable.text(note) for note in self.notes])


@dataclass(frozen=True, slots=True)
class Distrusted:
    """The prices changed: everything recorded since the last check that passed is invalid; see `trust`."""

    where: str
    """A description of the prices that differ, for messages."""

    def __post_init__(self) -> None:
        _set(self, where=recordable.text(self.where))


Event: TypeAlias = Asked | Finished | Evaluated | Reviewed | Validated | Extended | Ended | Distrusted


def pack(event: Event) -> tuple[str, dict[str, Any], bytes | None]:
    """Returns an event's kind, its header of JSON values, and its body."""
    if isinstance(event, Asked):
        return "asked", {"first": event.first, "n": event.n, "digest": event.digest}, None
    if isinstance(event, Finished):
        return "finished", *_pack_finished(event)
    if isinstance(event, Evaluated):
        header, body = _pack_finished(event.batch)
        return "evaluated", {"role": event.role, **header}, body
    if isinstance(event, Reviewed):
        lengths = {name: len(curve) for name, curve in event.curves.items()}
        header = {"rows": event.rows, "curves": lengths, "accounting": ACCOUNTING}
        return "reviewed", header, _bytes(list(event.curves.values()))
    if isinstance(event, Validated):
        lengths = {name: len(curve) for name, curve in event.curves.items()}
        header = {"rows": event.rows, "curves": lengths, "periods_per_year": event.periods_per_year}
        return "validated", header, _bytes(list(event.curves.values()))
    if isinstance(event, Extended):
        return "extended", *extended.pack(event)
    if isinstance(event, Distrusted):
        return "distrusted", {"where": event.where}, None
    return "ended", asdict(event), None


def _pack_finished(event: Finished) -> tuple[dict[str, Any], bytes]:
    outcomes, n = event.outcomes, len(event.trials)
    contiguous = n == 1 or bool((np.diff(event.trials) == 1).all())
    all_completed = not np.count_nonzero(outcomes.status != COMPLETED)
    parts: list[NDArray[Any]] = [event.points] if contiguous else [event.points, event.trials]
    parts += [] if all_completed else [outcomes.status]
    parts.append(outcomes.duration_s)
    sums = outcomes.block_sums
    if sums is not None:
        parts += [sums.values] if len(sums) == n else [sums.rows, sums.values]
    metrics: dict[str, Any] = {}
    for name, column in outcomes.metrics.items():
        there = int(np.count_nonzero(column.present)) == n
        metrics[name] = {"kind": column.kind, "all": there}
        parts += [] if there else [column.present]
        if column.kind == "json":
            metrics[name]["values"] = column.to_list()
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
        **({"shares": {str(row): share for row, share in outcomes.shares.items()}} if outcomes.shares else {}),
        **({} if sums is None else {"block_sums": len(sums)}),
        **({} if sums is None or sums.growth is None else {"growth": True}),
        "worker": event.worker,
        "started": event.started,
        "cpu_s": event.cpu_s,
        "wall_s": event.wall_s,
    }
    return header, _bytes(parts)


def unpack(kind: str, header: dict[str, Any], body: bytes) -> Event:
    """Returns the event of a row.

    Raises:
        ValueError: or a LookupError, TypeError, AttributeError, ArithmeticError or JournalError: the row is invalid.
    """
    if kind == "extended":
        return extended.unpack(header, body)
    take = _Reader(body)
    event: Event
    if kind == "asked":
        event = Asked(header["first"], header["n"], header["digest"])
    elif kind == "finished":
        event = _unpack_finished(header, body, take)
    elif kind == "evaluated":
        event = Evaluated(header["role"], _unpack_finished(header, body, take))
    elif kind == "reviewed":
        validate.check_lengths(header["curves"], body)
        rows = [renamed_row(row, _accounting(header)) for row in header["rows"]]
        event = Reviewed(rows, {name: take("<f8", length) for name, length in header["curves"].items()})
    elif kind == "validated":
        validate.check_lengths(header["curves"], body)
        curves = {name: take("<f8", length) for name, length in header["curves"].items()}
        event = Validated(header["rows"], curves, header["periods_per_year"])
    elif kind == "ended":
        event = Ended(**header)
    elif kind == "distrusted":
        event = Distrusted(header["where"])
    else:
        raise ValueError(f"an event of unknown kind {kind!r}")
    take.require_consumed()
    return event


def _unpack_finished(header: dict[str, Any], body: bytes, take: _Reader) -> Finished:
    validate.check_layout(header, body)
    n = header["n"]
    points = take("<f8", n * header["n_params"]).reshape(n, header["n_params"])
    trials = np.arange(header["first"], header["first"] + n, dtype=np.int64) if header["contiguous"] else take("<i8", n)
    status = np.zeros(n, np.uint8) if header["all_completed"] else take("u1", n)
    duration = take("<f8", n)
    width = N_WITH_GROWTH if header.get("growth") else N_SUMS
    block_sums = _unpack_block_sums(header.get("block_sums", 0), width, n, take)
    metrics = {name: _unpack_column(described, n, take) for name, described in header["metrics"].items()}
    metrics = renamed(metrics, _accounting(header))
    errors = {int(row): text for row, text in header["errors"].items()}
    left = {int(row): Checkpoint(n_reports, b"") for row, n_reports in header.get("checkpoints", {}).items()}
    shares = {int(row): share for row, share in header.get("shares", {}).items()}
    return Finished(
        trials=trials,
        points=points,
        fidelity=header["fidelity"],
        outcomes=Outcomes(status, metrics, errors, duration, left, shares, block_sums),
        worker=header["worker"],
        started=header["started"],
        cpu_s=header["cpu_s"],
        wall_s=header["wall_s"],
    )


def _unpack_block_sums(n_rows: int, width: int, n: int, take: _Reader) -> BlockRows | None:
    if not n_rows:
        return None
    rows = np.arange(n, dtype=np.int64) if n_rows == n else take("<i8", n_rows)
    return BlockRows(rows, take("<f8", n_rows * width).reshape(n_rows, width))


def _accounting(header: dict[str, Any]) -> int:
    """Returns the version of the accounting rules of an event's backtests; version 1 was not recorded."""
    version = header.get("accounting", 1)
    require(recordable.is_whole(version) and version > 0, "accounting", version)
    return int(version)


def _unpack_column(described: dict[str, Any], n: int, take: _Reader) -> Column:
    present = np.ones(n, dtype=bool) if described["all"] else take("?", n)
    kind = described["kind"]
    if kind == "json":
        return Column("json", np.fromiter(described["values"], object, n), present)
    return Column(kind, take({"float": "<f8", "int": "<i8", "bool": "?"}[kind], n), present)


def _bytes(parts: list[NDArray[Any]]) -> bytes:
    if sys.byteorder == "little" and all(part.dtype.isnative for part in parts):
        return b"".join([part.tobytes() for part in parts])
    return b"".join(np.ascontiguousarray(part, dtype=part.dtype.newbyteorder("<")).tobytes() for part in parts)


def _set(event: Any, **parts: Any) -> None:
    for name, value in parts.items():
        object.__setattr__(event, name, value)  # the class is frozen


class _Reader:
    """Reads the columns of an event's body one after the other."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def __call__(self, dtype: str, n: int) -> NDArray[Any]:
        column = np.frombuffer(self._body, dtype, count=n, offset=self._at)
        self._at += column.nbytes
        return column

    def require_consumed(self) -> None:
        """Refuses a body that is longer than its header says."""
        if self._at != len(self._body):
            raise ValueError(f"an event of {len(self._body):,} bytes, but its header describes {self._at:,}")
