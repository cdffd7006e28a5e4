"""The domain of one parameter, over columns of points, and the domain of options; `numeric_domains` has those of numbers.

A column holds numbers as they are and options as positions. Each domain also maps to the unit interval: a discrete domain's
values are adjacent cells, of equal width unless there is a prior.
"""

# ruff: noqa: D102  `Domain` documents the methods.

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from rbt_ray.errors import SpaceError
from rbt_ray.study import values
from rbt_ray.types import BoolArray, FloatArray, IntArray


class Domain(ABC):
    """The values one parameter may have."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """The primitive's name, such as "randint"."""

    @property
    @abstractmethod
    def takes(self) -> str:
        """A description of the values, for error messages."""

    @property
    @abstractmethod
    def n_values(self) -> int | None:
        """The number of values; None: infinitely many."""

    @abstractmethod
    def from_unit(self, u: FloatArray) -> FloatArray:
        """Returns the column at ``(n,)`` levels within [0, 1)."""

    @abstractmethod
    def to_unit(self, column: FloatArray) -> FloatArray:
        """Returns the inverse of `from_unit`: levels within [0, 1), cell centres for discrete values, NaN for NaN."""

    def nth(self, index: FloatArray) -> FloatArray:
        """Returns the column of the values at ``(n,)`` positions below `n_values`.

        Raises:
            SpaceError: there are infinitely many values.
        """
        raise SpaceError(f"takes {self.takes}: infinitely many, so no {len(index)} can be enumerated.")

    @abstractmethod
    def has(self, column: FloatArray) -> BoolArray:
        """Returns ``(n,)`` whether each number represents a value of the domain; False for NaN."""

    @abstractmethod
    def to_python(self, column: FloatArray) -> list[Any]:
        """Returns the Python values of a column without NaN."""

    @abstractmethod
    def to_column(self, value: Any) -> float | None:
        """Returns the number that represents a Python value in a column; None if the domain does not contain it."""

    def numbers(self, column: FloatArray) -> FloatArray:
        """Returns the numbers that a column represents; NaN for NaN.

        Raises:
            SpaceError: a value of the domain is not a number.
        """
        return column

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Returns the domain as JSON values, for reports and `domain_from_json`; both bounds are inclusive."""


@dataclass(frozen=True)
class Choice(Domain):
    """A choice among distinct options.

    Args:
        options: the options, of any type.
        weights: the relative frequencies of the options; None: equal ones.
        word: the primitive's name: "choice", "ordinal" for ordered options, or "grid_search".
    """

    options: tuple[Any, ...]
    weights: tuple[float, ...] | None = None
    word: str = "choice"

    @property
    def kind(self) -> str:
        return self.word

    @property
    def takes(self) -> str:
        shown = ", ".join(repr(option) for option in self.options[:10])
        more = "" if len(self.options) <= 10 else f", ... ({len(self.options)} options)"
        return f"one of {shown}{more}"

    @property
    def n_values(self) -> int:
        return len(self.options)

    @cached_property
    def _edges(self) -> FloatArray:
        weights = np.ones(len(self.options)) if self.weights is None else np.asarray(self.weights, dtype=np.float64)
        return np.concatenate([[0.0], np.cumsum(weights) / weights.sum()])

    @cached_property
    def _positions(self) -> dict[Any, int]:
        keys = [values.key_of(option) for option in self.options]
        return {key: position for position, key in enumerate(keys) if key is not None}

    def from_unit(self, u: FloatArray) -> FloatArray:
        if self.weights is None:
            return np.minimum(np.floor(u * len(self.options)), len(self.options) - 1)
        inner = self._edges[1:-1]
        return np.searchsorted(inner, u, side="right").astype(np.float64)

    def to_unit(self, column: FloatArray) -> FloatArray:
        centres = np.append((self._edges[:-1] + self._edges[1:]) / 2, np.nan)
        return centres[_positions_or_last(column)]

    def nth(self, index: FloatArray) -> FloatArray:
        return index

    def has(self, column: FloatArray) -> BoolArray:
        there: BoolArray = (column >= 0) & (column < len(self.options)) & (column == np.floor(column))
        return there

    def to_python(self, column: FloatArray) -> list[Any]:
        if any(isinstance(option, (list, dict, set)) for option in self.options):
            return [values.fresh(self.options[position]) for position in column.astype(np.int64).tolist()]
        return [self.options[position] for position in column.astype(np.int64).tolist()]

    def to_column(self, value: Any) -> float | None:
        value = values.to_python(value)
        position = self._positions.get(values.key_of(value))
        if position is None:
            position = next((i for i, option in enumerate(self.options) if values.alike(option, value)), None)
        return None if position is None else float(position)

    def numbers(self, column: FloatArray) -> FloatArray:
        if not all(isinstance(option, (int, float)) for option in self.options):
            raise SpaceError(f"takes {self.takes}, which are not all numbers.")
        try:
            return np.array([*self.options, math.nan], dtype=np.float64)[_positions_or_last(column)]
        except OverflowError:
            raise SpaceError(f"takes {self.takes}, which exceed the range of floats.") from None

    def to_json(self) -> dict[str, Any]:
        held: dict[str, Any] = {"kind": self.kind, "options": [values.to_json(option) for option in self.options]}
        return held if self.weights is None else {**held, "weights": list(self.weights)}


def _positions_or_last(column: FloatArray) -> IntArray:
    """Returns positions to index with; -1 for NaN."""
    return np.where(np.isnan(column), -1.0, column).astype(np.int64)
