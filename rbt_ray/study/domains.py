"""The domain of one parameter, over columns of points.

A column holds numbers as they are and options as positions. Each domain also maps to the unit interval: a discrete domain's
values are adjacent cells, of equal width unless there is a prior.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from rbt_ray.errors import SpaceError
from rbt_ray.types import BoolArray, FloatArray


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
