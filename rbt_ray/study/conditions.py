"""Expressions over columns of points: when a parameter is active, and which combinations are forbidden.

An inactive parameter is NaN: every comparison with it but ``!=`` is false, as in ConfigSpace.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal, TypeAlias

import numpy as np

from rbt_ray.types import BoolArray, FloatArray

Operator: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">="]

COMPARE: Mapping[Operator, Callable[[Any, Any], BoolArray]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Compare:
    """Compares a parameter with a value: a number, or the position of an option."""

    name: str
    op: Operator
    value: float

    def holds(self, columns: Mapping[str, FloatArray]) -> BoolArray:
        """Returns ``(n,)`` whether the condition is true for each config."""
        return COMPARE[self.op](columns[self.name], self.value)

    def to_json(self) -> dict[str, Any]:
        """Returns the expression as JSON values."""
        return {"name": self.name, "op": self.op, "value": self.value}


@dataclass(frozen=True)
class OneOf:
    """Tests whether a parameter is one of some values."""

    name: str
    values: tuple[float, ...]

    def holds(self, columns: Mapping[str, FloatArray]) -> BoolArray:
        """Returns ``(n,)`` whether the condition is true for each config."""
        return np.isin(columns[self.name], self.values)

    def to_json(self) -> dict[str, Any]:
        """Returns the expression as JSON values."""
        return {"name": self.name, "op": "in", "values": list(self.values)}


@dataclass(frozen=True)
class Relation:
    """Compares two parameters, choices by their options' values.

    Args:
        left: the name of a parameter.
        op: the comparison.
        right: the name of another parameter.
        left_ranks: if `left` is a choice, a number for each option in the order of the options.
        right_ranks: the same for `right`, on the same scale.
    """

    left: str
    op: Operator
    right: str
    left_ranks: tuple[float, ...] | None = None
    right_ranks: tuple[float, ...] | None = None

    def holds(self, columns: Mapping[str, FloatArray]) -> BoolArray:
        """Returns ``(n,)`` where it is true; false where either parameter is inactive."""
        left, right = columns[self.left], columns[self.right]
        known = ~(np.isnan(left) | np.isnan(right))
        return known & COMPARE[self.op](_ranked(left, self.left_ranks), _ranked(right, self.right_ranks))

    def to_json(self) -> dict[str, Any]:
        """Returns the expression as JSON values."""
        return {
            "left": self.left,
            "op": self.op,
            "right": self.right,
            "left_ranks": self.left_ranks and list(self.left_ranks),
            "right_ranks": self.right_ranks and list(self.right_ranks),
        }


@dataclass(frozen=True)
class BooleanExpression:
    """The conjunction or disjunction of expressions."""

    word: Literal["and", "or"]
    parts: tuple[Expression, ...]

    def holds(self, columns: Mapping[str, FloatArray]) -> BoolArray:
        """Returns ``(n,)`` whether the condition is true for each config."""
        join = np.logical_and if self.word == "and" else np.logical_or
        return reduce(join, [part.holds(columns) for part in self.parts])

    def to_json(self) -> dict[str, Any]:
        """Returns the expression as JSON values."""
        return {self.word: [part.to_json() for part in self.parts]}


Expression: TypeAlias = Compare | OneOf | Relation | BooleanExpression


def expression_from_json(held: Mapping[str, Any]) -> Expression:
    """Returns the expression that `to_json` was called on."""
    for word in ("and", "or"):
        if word in held:
            return BooleanExpression(word, tuple(expression_from_json(part) for part in held[word]))
    if "left" in held:
        ranks = [held[side] and tuple(held[side]) for side in ("left_ranks", "right_ranks")]
        return Relation(held["left"], held["op"], held["right"], *ranks)
    if held["op"] == "in":
        return OneOf(held["name"], tuple(held["values"]))
    return Compare(held["name"], held["op"], held["value"])


def names_in(expression: Expression) -> set[str]:
    """Returns the names of the parameters in an expression."""
    if isinstance(expression, BooleanExpression):
        return set().union(*(names_in(part) for part in expression.parts))
    return {expression.left, expression.right} if isinstance(expression, Relation) else {expression.name}


def _ranked(column: FloatArray, ranks: tuple[float, ...] | None) -> FloatArray:
    if ranks is None:
        return column
    return np.array([*ranks, np.nan])[np.where(np.isnan(column), -1.0, column).astype(np.int64)]
