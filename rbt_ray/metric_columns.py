"""Metrics of many trials in named columns of any type, as batches are sent and recorded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rbt_ray import recordable
from rbt_ray.recordable import require
from rbt_ray.types import RESULT_COLUMNS, BoolArray, FloatArray, IntArray, Metrics

Kind: TypeAlias = Literal["float", "int", "bool", "json"]
_DTYPES: dict[Kind, Any] = {"float": np.float64, "int": np.int64, "bool": np.bool_, "json": object}
_KIND_OF: dict[type, Kind] = {float: "float", int: "int", bool: "bool"}
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One metric of `n` trials.

    Args:
        kind: "float", "int" or "bool" for an array of that type; "json" for other JSON values or a mixture.
        values: ``(n,)``; undefined where not present.
        present: ``(n,)`` whether each trial has this metric.
    """

    kind: Kind
    values: NDArray[Any]
    present: BoolArray

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles the fields only: the state of a dataclass with slots takes longer to restore than a small array."""
        return Column, (self.kind, self.values, self.present)

    @classmethod
    def of(cls, values: Sequence[Any], present: BoolArray) -> Column:
        """Returns the narrowest column for plain Python values; ignores those not present."""
        whole = bool(present.all())
        there = values if whole else [value for value, here in zip(values, present.tolist(), strict=True) if here]
        types = set(map(type, there))
        kind = _KIND_OF.get(types.pop(), "json") if len(types) == 1 else "json"
        if kind == "int" and not all(value in _INT64 for value in there):
            kind = "json"
        found = np.fromiter(there, dtype=_DTYPES[kind], count=len(there))
        if whole:
            return cls(kind, found, present)
        column = np.zeros(len(values), dtype=_DTYPES[kind])
        column[present] = found
        return cls(kind, column, present)

    @classmethod
    def join(cls, parts: Sequence[tuple[Column, IntArray]], n: int) -> Column:
        """Joins parts into a column of `n` trials; each part comes with the positions of its rows."""
        kinds = {part.kind for part, _ in parts}
        kind: Kind = kinds.pop() if len(kinds) == 1 else "json"
        values = np.zeros(n, dtype=_DTYPES[kind])
        present = np.zeros(n, dtype=bool)
        for part, rows in parts:
            # tolist() returns plain Python values, so that a mixture distinguishes 1, 1.0 and True.
            values[rows] = part.values if part.kind == kind else np.fromiter(part.values.tolist(), object, len(rows))
            present[rows] = part.present
        return cls(kind, values, present)

    def recordable(self, n: int) -> Column:
        """Returns the column of `n` trials in recordable form.

        Raises:
            ValueError: it has another length or type, or a value that is impossible for a metric.
        """
        require(type(self.kind) is str and self.kind in _DTYPES, "kind", self.kind)
        present = recordable.array(self.present, np.bool_, (n,), "present")
        values = recordable.array(self.values, _DTYPES[self.kind], (n,), "values")
        if self.kind == "json":
            whole = bool(present.all())
            found = values.tolist() if whole else Column("json", values, present).to_list()
            plain = recordable.json_values(found)
            values = values if whole and plain is found else np.fromiter(plain, object, n)
        if values is self.values and present is self.present:
            return self
        return Column(self.kind, values, present)

    def take(self, rows: IntArray | slice) -> Column:
        """Returns the column of some of the trials."""
        return Column(self.kind, self.values[rows], self.present[rows])

    def only(self, rows: BoolArray) -> Column:
        """Returns the column with the values of these rows only; the types of other values do not affect its kind."""
        present = self.present & rows
        if self.kind == "json":
            return Column.of(self.to_list(), present)
        return Column(self.kind, self.values, present)

    def to_list(self) -> list[Any]:
        """Returns plain Python values; None where not present."""
        return [v if there else None for v, there in zip(self.values.tolist(), self.present.tolist(), strict=True)]

    def numbers(self) -> FloatArray:
        """Returns ``(n,)`` float64; NaN if the metric is absent or not a number."""
        if self.kind == "json":
            numbers = [float(v) if isinstance(v, (int, float)) else math.nan for v in self.to_list()]
            return np.array(numbers, dtype=np.float64)
        return np.where(self.present, self.values.astype(np.float64), np.nan)


MetricColumns: TypeAlias = Mapping[str, Column]


def from_rows(rows: Sequence[Metrics | None]) -> dict[str, Column]:
    """Returns columns of metrics that are given as one dict per trial; None for a trial without metrics."""
    found = [row for row in rows if row is not None]
    names = dict.fromkeys(chain.from_iterable(found))
    if set(map(len, found)) == {len(names)}:
        present = np.array([row is not None for row in rows])
        return {name: Column.of([row and row[name] for row in rows], present) for name in names}
    columns = {}
    for name in names:
        there = np.fromiter((row is not None and name in row for row in rows), bool, len(rows))
        columns[name] = Column.of([row.get(name) if row is not None else None for row in rows], there)
    return columns


def all_recordable(columns: Any, n: int) -> dict[str, Column]:
    """Returns the columns of `n` trials in recordable form.

    Raises:
        ValueError: it is not a dict of columns, or a column cannot be recorded.
    """
    require(type(columns) is dict, "metrics", columns)
    found: dict[str, Column] = {}
    for key, column in columns.items():
        name = recordable.text(key)
        require(name not in RESULT_COLUMNS and not name.startswith("config/") and name not in found, "metrics", name)
        require(type(column) is Column, "metrics", column)
        found[name] = column.recordable(n)
    return found


def take(columns: MetricColumns, rows: IntArray | slice) -> dict[str, Column]:
    """Returns the columns of some of the trials."""
    return {name: column.take(rows) for name, column in columns.items()}


def join(parts: Iterable[tuple[MetricColumns, IntArray]], n: int) -> dict[str, Column]:
    """Joins parts into columns of `n` trials; each part comes with its rows. Names keep the order of first appearance."""
    gathered: dict[str, list[tuple[Column, IntArray]]] = {}
    for columns, rows in parts:
        for name, column in columns.items():
            gathered.setdefault(name, []).append((column, rows))
    return {name: Column.join(pieces, n) for name, pieces in gathered.items()}


def row(columns: MetricColumns, index: int) -> Metrics:
    """Returns the metrics of one trial as plain Python values."""
    return {
        name: column.values[index : index + 1].tolist()[0] for name, column in columns.items() if column.present[index]
    }
