"""Parses constraints from text by `ast` into nodes of their own. Nothing is evaluated as Python code."""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rbt_ray.errors import SettingError
from rbt_ray.study import values
from rbt_ray.study.conditions import Operator
from rbt_ray.study.constraint import (
    FUNCTIONS,
    Arithmetic,
    Column,
    Comparison,
    Condition,
    Constraint,
    Function,
    IsOption,
    Junction,
    Not,
    Number,
    Numeric,
    names_in,
)

_LONGEST, _DEEPEST = 2_000, 50
_ARITHMETIC: Mapping[type, str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Mod: "%"}
_COMPARE: Mapping[type, Operator] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_ALLOWED = "numbers, names, + - * / %, comparisons, and, or, not, min, max and abs"


@dataclass(frozen=True)
class Names:
    """What the names in a constraint can mean, beside metrics.

    Args:
        parameters: the options of each parameter by flat name; None for one that takes numbers.
        constants: the values that every config has, by flat name.
    """

    parameters: Mapping[str, tuple[Any, ...] | None] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        known = [name.replace("/", ".") for name in (*self.parameters, *self.constants)]
        return f"the parameters are {', '.join(known)}" if known else "the space has no parameters"


def parse(text: str, names: Names) -> list[Constraint]:
    """Returns the constraints in a text; ``a and b`` and ``x < y < z`` are two each.

    A name that is no parameter is a metric. ``opt.lr`` is the parameter "lr" of the group "opt".

    Args:
        text: the expression.
        names: the parameters and constants of the space.

    Raises:
        SettingError: it is not such an expression, or uses a parameter in a way that its values do not allow.
    """
    return [_Parser(text, names).constraint(part) for part in conjuncts(text)]


def conjuncts(text: Any) -> list[ast.expr]:
    """Returns the parts of an expression that must all be true.

    Raises:
        SettingError: it is no text, or no expression of Python.
    """
    if not isinstance(text, str):
        raise SettingError(f"a constraint is a text such as 'fast < slow', or a function of params; got {text!r}.")
    if len(text) > _LONGEST:
        raise SettingError(f"a constraint has at most {_LONGEST:,} characters; got {len(text):,}: {text[:40]!r}...")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the parser, about numbers and escapes
            tree = ast.parse(text.strip(), mode="eval").body
        deepest = _depth(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = getattr(error, "msg", None) or str(error)
        raise SettingError(
            f"the constraint {text!r} is not an expression ({reason}); write one such as 'fast < slow' from {_ALLOWED}."
        ) from None
    if deepest > _DEEPEST:
        raise SettingError(
            f"the constraint {text!r} nests more than {_DEEPEST} levels deep; write several constraints."
        )
    parser = _Parser(text, None)
    parts = list(_split(tree))
    for part in parts:
        parser.constraint(part)
    return parts


def _depth(tree: ast.AST) -> int:
    level, deepest = [tree], 0
    while level:
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        deepest += 1
    return deepest


def _split(tree: ast.expr) -> Iterator[ast.expr]:
    if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And):
        for part in tree.values:
            yield from _split(part)
    elif isinstance(tree, ast.Compare) and len(tree.ops) > 1:
        sides = [tree.left, *tree.comparators]
        for left, op, right in zip(sides, tree.ops, sides[1:], strict=False):
            yield ast.Compare(left, [op], [right])
    else:
        yield tree


@dataclass(frozen=True)
class _Option:
    """A value that is not a number, to compare a choice with."""

    value: Any


@dataclass(frozen=True)
class _Parser:
    """Converts the syntax tree of one constraint.

    Args:
        text: the whole constraint, for messages.
        names: the names of the space; None before it is known: then any name can be compared with any value.
    """

    text: str
    names: Names | None

    def constraint(self, tree: ast.expr) -> Constraint:
        condition = self._condition(tree)
        found = tuple(dict.fromkeys(names_in(condition)))
        if not found:
            raise self._error("names no parameter and no metric")
        parameters = () if self.names is None else self.names.parameters
        return Constraint(
            text=ast.unparse(tree),
            condition=condition,
            parameters=frozenset(name for name in found if name in parameters),
            metrics=tuple(name for name in found if name not in parameters),
        )

    def _error(self, what: str) -> SettingError:
        return SettingError(f"the constraint {self.text!r} {what}.")

    def _condition(self, tree: ast.expr) -> Condition:
        if isinstance(tree, ast.BoolOp):
            parts = tuple(self._condition(part) for part in tree.values)
            return Junction("and" if isinstance(tree.op, ast.And) else "or", parts)
        if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not):
            return Not(self._condition(tree.operand))
        if not isinstance(tree, ast.Compare):
            self._operand(tree)  # says what is wrong inside it
            raise self._error(f"is no condition: compare {ast.unparse(tree)!r} with a value, as in 'fast < slow'")
        pairs = zip([tree.left, *tree.comparators], tree.ops, tree.comparators, strict=False)
        parts = tuple(self._comparison(*pair) for pair in pairs)
        return parts[0] if len(parts) == 1 else Junction("and", parts)

    def _comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Condition:
        if type(op) not in _COMPARE:
            raise self._error("uses `in` or `is`; compare with ==, !=, <, <=, > or >=, joined by `or`")
        word, sides = _COMPARE[type(op)], (self._operand(left), self._operand(right))
        if not any(isinstance(side, _Option) for side in sides):
            numbers = [self._number(side) for side in sides]
            return Comparison(word, *numbers)
        option, other = sides if isinstance(sides[0], _Option) else sides[::-1]
        assert isinstance(option, _Option)
        if not isinstance(other, Column) or word not in ("==", "!="):
            raise self._error(
                f"compares {option.value!r} with another thing than a choice, or by another sign than == or !="
            )
        same = IsOption(other.name, self._positions(other.name, option.value))
        return same if word == "==" else Not(same)

    def _positions(self, name: str, value: Any) -> tuple[float, ...]:
        if self.names is None:
            return ()
        options = self.names.parameters.get(name)
        found = tuple(float(place) for place, one in enumerate(options or ()) if values.same(one, value))
        if not found:
            has = (
                f"takes {', '.join(map(repr, options))}" if options else f"takes numbers, or is a metric; {self.names}"
            )
            raise self._error(f"compares `{name}` with {value!r}, but it {has}")
        return found

    def _operand(self, tree: ast.expr) -> Numeric | _Option:
        if isinstance(tree, ast.Constant):
            return self._literal(tree.value)
        if (name := _flat_name(tree)) is not None:
            return self._named(name)
        if isinstance(tree, ast.BinOp) and type(tree.op) in _ARITHMETIC:
            return Arithmetic(_ARITHMETIC[type(tree.op)], *(self._numbers(tree.left, tree.right)))
        if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, (ast.USub, ast.UAdd)):
            (inner,) = self._numbers(tree.operand)
            return inner if isinstance(tree.op, ast.UAdd) else Arithmetic("*", Number(-1.0), inner)
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id in FUNCTIONS:
            is_abs, n = tree.func.id == "abs", len(tree.args)
            if tree.keywords or (n != 1 if is_abs else n < 2):
                raise self._error(f"calls `{tree.func.id}` with {n} arguments; abs takes one, min and max two or more")
            return Function(tree.func.id, tuple(self._numbers(*tree.args)))
        raise self._error(f"contains {ast.unparse(tree)!r}; an expression consists of {_ALLOWED}")

    def _numbers(self, *trees: ast.expr) -> list[Numeric]:
        return [self._number(self._operand(tree)) for tree in trees]

    def _number(self, operand: Numeric | _Option) -> Numeric:
        if isinstance(operand, _Option):
            raise self._error(f"calculates with {operand.value!r}, which is not a number")
        if isinstance(operand, Column) and operand.options and all(map(math.isnan, operand.options)):
            raise self._error(
                f"uses `{operand.name}` as a number, but none of its options is one; compare it by == or !="
            )
        return operand

    def _literal(self, value: Any) -> Number | _Option:
        if value is None or isinstance(value, str):
            return _Option(value)
        number = _as_float(value)
        if not math.isfinite(number):
            raise self._error(f"contains {value!r}, which is not a finite number")
        return Number(number)

    def _named(self, name: str) -> Numeric | _Option:
        if self.names is None or name not in self.names.constants:
            options = None if self.names is None else self.names.parameters.get(name)
            return Column(name, options and tuple(map(_as_float, options)))
        value = self.names.constants[name]
        if value is not None and not isinstance(value, (int, float, str)):
            raise self._error(
                f"uses `{name}`, which is the constant {value!r}; a constraint compares numbers and texts"
            )
        return self._literal(value)


def _flat_name(tree: ast.expr) -> str | None:
    """Returns "opt/lr" for ``opt.lr``; None if the tree is not a name."""
    if isinstance(tree, ast.Name):
        return tree.id
    if isinstance(tree, ast.Attribute) and (group := _flat_name(tree.value)) is not None:
        return f"{group}/{tree.attr}"
    return None


def _as_float(value: Any) -> float:
    try:
        return float(value) if isinstance(value, (int, float)) else math.nan
    except OverflowError:
        return math.nan


def parse_all(texts: Sequence[str], names: Names) -> tuple[Constraint, ...]:
    """Returns the constraints in several texts, each text once; raises as `parse` does."""
    found = (one for text in texts for one in parse(text, names))
    return tuple({one.text: one for one in found}.values())
