"""Reads a function of params, such as ``lambda p: p.fast < p.slow``, as the text of a constraint.

The function is called with symbols in place of values. Each symbol records what is done with it. Where Python needs a truth
value (`and`, `or`, `if`, chained comparisons, `min`), the function is called once for each answer, and the result is the
disjunction of all calls that return True.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from typing import Any, ClassVar

from rbt_ray.errors import SettingError
from rbt_ray.study import values

_MOST_CALLS = 64


def text_of(constraint: Any) -> Any:
    """Returns the text of a constraint that is a function of params; anything else unchanged.

    Params are read as ``p.fast`` or ``p["fast"]``.

    Raises:
        SettingError: the function does something else with params than calculate, compare and decide; or it raises.
    """
    if not callable(constraint):
        return constraint
    name = getattr(constraint, "__qualname__", repr(constraint))
    try:
        cases = _cases(constraint)
    except Exception as error:  # the user's own code
        raise SettingError(
            f"the constraint {name} cannot be read as an expression: {type(error).__name__}: {error}. A function may use "
            f"+ - * / %, comparisons, and, or, not, min, max and abs of its params; or write a text such as 'fast < slow'."
        ) from error
    if not cases:
        raise SettingError(f"the constraint {name} is false for all params, so no config satisfies it.")
    if any(not case for case in cases):
        raise SettingError(
            f"the constraint {name} is true for some params without a comparison; it must compare its params."
        )
    joined = [_join(ast.And(), case) for case in cases]
    return ast.unparse(ast.fix_missing_locations(_join(ast.Or(), joined)))


def _cases(function: Callable[[Any], Any]) -> list[list[ast.expr]]:
    """Returns the conditions of each way through the function that ends in a true value."""
    cases: list[list[ast.expr]] = []
    pending: list[tuple[bool, ...]] = [()]
    n_calls = 0
    while pending:
        n_calls += 1
        if n_calls > _MOST_CALLS:
            raise ValueError(f"it has more than {_MOST_CALLS} ways through it")
        answers = pending.pop()
        call = _Call(answers)
        result = function(_Params(call))
        pending += [
            (*call.answers[:place], not call.answers[place]) for place in range(len(answers), len(call.answers))
        ]
        # `a and b` returns a where a is false: that result is decided already
        decided = next((answer for symbol, answer in call.decided if symbol is result), None)
        case = [symbol.condition() if answer else _negated(symbol) for symbol, answer in call.decided]
        if isinstance(result, _Symbol) and decided is None:
            cases.append([*case, result.condition()])
        elif result if decided is None else decided:
            cases.append(case)
    return cases


def _join(op: ast.boolop, parts: list[ast.expr]) -> ast.expr:
    return parts[0] if len(parts) == 1 else ast.BoolOp(op, parts)


def _negated(symbol: _Symbol) -> ast.expr:
    return ast.UnaryOp(ast.Not(), symbol.condition())


class _Call:
    """One call of the function: the answers to its questions, in order; further ones are True."""

    def __init__(self, answers: tuple[bool, ...]) -> None:
        self.answers = answers
        self.decided: list[tuple[_Symbol, bool]] = []

    def decide(self, symbol: _Symbol) -> bool:
        place = len(self.decided)
        if place == len(self.answers):
            self.answers = (*self.answers, True)
        self.decided.append((symbol, self.answers[place]))
        return self.answers[place]


class _Params:
    """Stands for the params of a config."""

    def __init__(self, call: _Call) -> None:
        self._call = call

    def __getattr__(self, name: str) -> _Symbol:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Symbol(ast.Name(name), self._call)

    def __getitem__(self, name: Any) -> _Symbol:
        return self.__getattr__(_checked(name))


def _checked(name: Any) -> str:
    if not isinstance(name, str) or not name.isidentifier():
        raise KeyError(f"params have names such as 'fast'; got {name!r}")
    return name


def _node(value: Any) -> ast.expr | None:
    """Returns the syntax tree of an operand; None if it is no symbol, number, text or None."""
    if isinstance(value, _Symbol):
        return value.node
    value = values.to_python(value)
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return ast.Constant(value)
    return None


class _Symbol:
    """Stands for a value that depends on params."""

    __array_ufunc__ = None  # a numpy number leaves the operation to the symbol
    __hash__: ClassVar[None]  # type: ignore[assignment]

    def __init__(self, node: ast.expr, call: _Call) -> None:
        self.node, self._call = node, call

    def condition(self) -> ast.expr:
        """Returns the tree of its truth value."""
        if isinstance(self.node, ast.Compare):
            return self.node
        return ast.Compare(self.node, [ast.NotEq()], [ast.Constant(0)])

    def __bool__(self) -> bool:
        return self._call.decide(self)

    def __getattr__(self, name: str) -> _Symbol:
        if name.startswith("__") or not isinstance(self.node, (ast.Name, ast.Attribute)):
            raise AttributeError(f"{ast.unparse(self.node)} has no {name!r}")
        return _Symbol(ast.Attribute(self.node, name), self._call)

    def __getitem__(self, name: Any) -> _Symbol:
        return self.__getattr__(_checked(name))

    def _binary(self, op: ast.operator, other: Any, *, reflected: bool = False) -> Any:
        node = _node(other)
        if node is None:
            return NotImplemented
        left, right = (node, self.node) if reflected else (self.node, node)
        return _Symbol(ast.BinOp(left, op, right), self._call)

    def _compare(self, op: ast.cmpop, other: Any) -> Any:
        node = _node(other)
        return NotImplemented if node is None else _Symbol(ast.Compare(self.node, [op], [node]), self._call)

    def __add__(self, other: Any) -> Any:
        return self._binary(ast.Add(), other)

    def __radd__(self, other: Any) -> Any:
        return self._binary(ast.Add(), other, reflected=True)

    def __sub__(self, other: Any) -> Any:
        return self._binary(ast.Sub(), other)

    def __rsub__(self, other: Any) -> Any:
        return self._binary(ast.Sub(), other, reflected=True)

    def __mul__(self, other: Any) -> Any:
        return self._binary(ast.Mult(), other)

    def __rmul__(self, other: Any) -> Any:
        return self._binary(ast.Mult(), other, reflected=True)

    def __truediv__(self, other: Any) -> Any:
        return self._binary(ast.Div(), other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._binary(ast.Div(), other, reflected=True)

    def __mod__(self, other: Any) -> Any:
        return self._binary(ast.Mod(), other)

    def __rmod__(self, other: Any) -> Any:
        return self._binary(ast.Mod(), other, reflected=True)

    def __neg__(self) -> _Symbol:
        return _Symbol(ast.UnaryOp(ast.USub(), self.node), self._call)

    def __pos__(self) -> _Symbol:
        return self

    def __abs__(self) -> _Symbol:
        return _Symbol(ast.Call(ast.Name("abs"), [self.node], []), self._call)

    def __lt__(self, other: Any) -> Any:
        return self._compare(ast.Lt(), other)

    def __le__(self, other: Any) -> Any:
        return self._compare(ast.LtE(), other)

    def __gt__(self, other: Any) -> Any:
        return self._compare(ast.Gt(), other)

    def __ge__(self, other: Any) -> Any:
        return self._compare(ast.GtE(), other)

    def __eq__(self, other: Any) -> Any:
        return self._compare(ast.Eq(), other)

    def __ne__(self, other: Any) -> Any:
        return self._compare(ast.NotEq(), other)
