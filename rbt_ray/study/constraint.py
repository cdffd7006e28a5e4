"""A constraint on the parameters of a config or on the metrics of its trial, and the nodes of its expression.

Nodes are evaluated over columns. A number that is missing is NaN: an inactive parameter, a metric that is NaN or not a number,
a division by zero. A comparison with NaN is neither true nor false. `and`, `or` and `not` follow Kleene's logic: `or` is true
if one part is true, whatever the others are.

Source:
    Kleene (1952), "Introduction to Metamathematics", section 64, for the logic of three values.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from rbt_ray.study.conditions import COMPARE, Operator
from rbt_ray.types import BoolArray, FloatArray

Columns: TypeAlias = Mapping[str, FloatArray]
"""Columns ``(n,)`` of points and of metrics by name."""

LEAST_VIOLATION = 1e-12
"""The violation of ``a < b`` where a equals b."""
_ONLY_BOUNDS: Mapping[str, tuple[Operator, ...]] = {
    "max_drawdown": (">", ">="),
    "n_fills": ("<", "<="),
    "n_trades": ("<", "<="),
}
"""Metrics of a Backtest that only fall, or only rise, with every further bar, and the bounds they cannot return to."""


class Truth(NamedTuple):
    """Where a condition is true and where it is false, ``(n,)`` each; it is undefined elsewhere."""

    true: BoolArray
    false: BoolArray


def _divide(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.where(b == 0, np.nan, a / b)


def _modulo(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.where(b == 0, np.nan, np.mod(a, b))


ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "%": _modulo,
}
FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "min": lambda *args: reduce(np.minimum, args),
    "max": lambda *args: reduce(np.maximum, args),
    "abs": np.abs,
}
OPPOSITE: Mapping[Operator, Operator] = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
MIRRORED: Mapping[Operator, Operator] = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True)
class Number:
    """A number."""

    value: float

    def values(self, columns: Columns) -> FloatArray:  # noqa: ARG002  every node has it
        """Returns the number as an array of no dimension."""
        return np.asarray(self.value)


@dataclass(frozen=True)
class Column:
    """A parameter or a metric.

    Args:
        name: its flat name.
        options: the numbers of a choice's options, NaN for those that are not numbers; None for other columns.
    """

    name: str
    options: tuple[float, ...] | None = None

    def values(self, columns: Columns) -> FloatArray:
        """Returns ``(n,)`` its numbers."""
        column = columns[self.name]
        if self.options is None:
            return column
        return np.array([*self.options, np.nan])[np.where(np.isnan(column), -1.0, column).astype(np.int64)]


@dataclass(frozen=True)
class Arithmetic:
    """An operation on two numbers; a division by zero gives NaN."""

    op: str
    left: Numeric
    right: Numeric

    def values(self, columns: Columns) -> FloatArray:
        """Returns ``(n,)`` its results."""
        result: FloatArray = ARITHMETIC[self.op](self.left.values(columns), self.right.values(columns))
        return result


@dataclass(frozen=True)
class Function:
    """A function of numbers: min, max or abs."""

    name: str
    args: tuple[Numeric, ...]

    def values(self, columns: Columns) -> FloatArray:
        """Returns ``(n,)`` its results."""
        result: FloatArray = FUNCTIONS[self.name](*(arg.values(columns) for arg in self.args))
        return result


Numeric: TypeAlias = Number | Column | Arithmetic | Function


@dataclass(frozen=True)
class Comparison:
    """A comparison of two numbers."""

    op: Operator
    left: Numeric
    right: Numeric

    def truth(self, columns: Columns) -> Truth:
        """Returns where it is true and where it is false."""
        left, right = self.left.values(columns), self.right.values(columns)
        known = ~(np.isnan(left) | np.isnan(right))
        found = COMPARE[self.op](left, right)
        return Truth(known & found, known & ~found)

    def violation(self, columns: Columns, *, wanted: bool = True) -> FloatArray:
        """Returns ``(n,)`` how far it is from being true, or with ``wanted=False`` from being false.

        That is ``d / (d + |bound|)`` for the distance d from the bound, with 1 in place of a bound of 0: a number from 0 to 1
        that does not depend on the metric's unit. It is 0 where the comparison is as wanted, and 1 where it is undefined.
        """
        left, right = self.left.values(columns), self.right.values(columns)
        op = self.op if wanted else OPPOSITE[self.op]
        scale = np.abs(left if isinstance(self.left, Number) else right)
        distance = np.abs(left - right)
        share = distance / (distance + np.where(scale == 0, 1.0, scale))
        share = np.where(np.isnan(share), 1.0, np.maximum(share, LEAST_VIOLATION))
        return np.where(COMPARE[op](left, right) & ~(np.isnan(left) | np.isnan(right)), 0.0, share)


@dataclass(frozen=True)
class IsOption:
    """Whether a choice has one of some options, given by their positions."""

    name: str
    positions: tuple[float, ...]

    def truth(self, columns: Columns) -> Truth:
        """Returns where it is true and where it is false."""
        column = columns[self.name]
        found = np.isin(column, self.positions)
        return Truth(found, ~(found | np.isnan(column)))

    def violation(self, columns: Columns, *, wanted: bool = True) -> FloatArray:
        """Returns ``(n,)`` 0 where it is as wanted, else 1."""
        return np.where(self.truth(columns)[0 if wanted else 1], 0.0, 1.0)


@dataclass(frozen=True)
class Junction:
    """The conjunction ("and") or disjunction ("or") of conditions."""

    word: Literal["and", "or"]
    parts: tuple[Condition, ...]

    def truth(self, columns: Columns) -> Truth:
        """Returns where it is true and where it is false."""
        truths = [part.truth(columns) for part in self.parts]
        both, either = np.logical_and, np.logical_or
        for_true, for_false = (both, either) if self.word == "and" else (either, both)
        return Truth(reduce(for_true, [one.true for one in truths]), reduce(for_false, [one.false for one in truths]))

    def violation(self, columns: Columns, *, wanted: bool = True) -> FloatArray:
        """Returns ``(n,)`` the largest violation of parts that must all be as wanted, else the smallest."""
        needs_all = (self.word == "and") == wanted
        parts = [part.violation(columns, wanted=wanted) for part in self.parts]
        result: FloatArray = reduce(np.maximum if needs_all else np.minimum, parts)
        return result


@dataclass(frozen=True)
class Not:
    """The negation of a condition."""

    part: Condition

    def truth(self, columns: Columns) -> Truth:
        """Returns where it is true and where it is false."""
        true, false = self.part.truth(columns)
        return Truth(false, true)

    def violation(self, columns: Columns, *, wanted: bool = True) -> FloatArray:
        """Returns ``(n,)`` how far the part is from being the opposite."""
        return self.part.violation(columns, wanted=not wanted)


Condition: TypeAlias = Comparison | IsOption | Junction | Not


def names_in(node: Numeric | Condition) -> Iterator[str]:
    """Yields the names of the parameters and metrics in an expression."""
    if isinstance(node, (Column, IsOption)):
        yield node.name
    elif isinstance(node, (Arithmetic, Comparison)):
        yield from names_in(node.left)
        yield from names_in(node.right)
    elif isinstance(node, (Function, Junction)):
        for part in node.args if isinstance(node, Function) else node.parts:
            yield from names_in(part)
    elif isinstance(node, Not):
        yield from names_in(node.part)


@dataclass(frozen=True)
class Constraint:
    """A condition that must be true.

    Args:
        text: the expression, as messages show it and studies record it.
        condition: the parsed expression.
        parameters: the names of the parameters in it.
        metrics: the names of the metrics in it, in order of appearance.
    """

    text: str
    condition: Condition
    parameters: frozenset[str]
    metrics: tuple[str, ...]

    def satisfied(self, columns: Columns) -> BoolArray:
        """Returns ``(n,)`` where it is true, or undefined because a parameter in it is inactive."""
        with np.errstate(all="ignore"):
            true, false = self.condition.truth(columns)
        return true | (~false & self._has_inactive(columns))

    def violation(self, columns: Columns) -> FloatArray:
        """Returns ``(n,)`` 0 where it is satisfied, else a number above 0 and at most 1 that says how far from it."""
        satisfied = self.satisfied(columns)
        with np.errstate(all="ignore"):
            return np.where(satisfied, 0.0, self.condition.violation(columns))

    def broken(self, columns: Columns) -> BoolArray:
        """Returns ``(n,)`` where it is false; an undefined one is not."""
        with np.errstate(all="ignore"):
            return self.condition.truth(columns).false

    @property
    def stays_broken(self) -> bool:
        """Whether a trial that breaks it on the first bars breaks it on all: a bound on a metric that only falls or rises."""
        found = self.condition
        if not isinstance(found, Comparison):
            return False
        for side, other, op in ((found.left, found.right, found.op), (found.right, found.left, MIRRORED[found.op])):
            if isinstance(side, Column) and side.name in self.metrics and op in _ONLY_BOUNDS.get(side.name, ()):
                return not set(self.metrics) & set(names_in(other))
        return False

    def _has_inactive(self, columns: Columns) -> BoolArray:
        inactive = [np.isnan(columns[name]) for name in sorted(self.parameters)]
        return np.logical_or.reduce(inactive) if inactive else np.array(False)
