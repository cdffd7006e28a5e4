"""What one parameter may be. Columns of points in, columns out.

In a column a number stands for itself and a choice for the position of its option. Each domain also maps to the unit
interval: there a discrete domain's values are cells next to one another, of equal width unless a prior says otherwise.
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
        """The values in words, for error messages."""

    @property
    @abstractmethod
    def n_values(self) -> int | None:
        """How many values there are; None: infinitely many."""

    @abstractmethod
    def from_unit(self, u: FloatArray) -> FloatArray:
        """The column at ``(n,)`` levels within [0, 1)."""

    @abstractmethod
    def to_unit(self, column: FloatArray) -> FloatArray:
        """The inverse of `from_unit`: within [0, 1); the centre of its cell for a discrete value; NaN for NaN."""

    def nth(self, index: FloatArray) -> FloatArray:
        """The column of the values at ``(n,)`` positions below `n_values`, in their order.

        Raises:
            SpaceError: there are infinitely many.
        """
        raise SpaceError(f"takes {self.takes}: infinitely many, of which no {len(index)} can be counted off.")

    @abstractmethod
    def has(self, column: FloatArray) -> BoolArray:
        """``(n,)`` whether each number stands for a value of the domain; False for NaN."""

    @abstractmethod
    def to_python(self, column: FloatArray) -> list[Any]:
        """Plain Python values of a column without NaN."""

    @abstractmethod
    def to_column(self, value: Any) -> float | None:
        """What stands for a plain value in a column; None where the domain does not have it."""

    def numbers(self, column: FloatArray) -> FloatArray:
        """The column as the numbers it stands for; NaN for NaN.

        Raises:
            SpaceError: the domain holds something other than numbers.
        """
        return column

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """The domain in words and numbers, for reports and `domain_from_json`; both bounds are inclusive."""
