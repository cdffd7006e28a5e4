"""Which values functions change that are passed to them, such as the dict of a cache."""

from __future__ import annotations

import bisect
import heapq
import random
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rbt_ray.objectives.bytecode import Uses
from rbt_ray.objectives.own_values import function_in, wrapped_by

_CHANGE_THE_FIRST = (
    *(heapq.heappush, heapq.heappop, heapq.heapify, heapq.heapreplace, heapq.heappushpop),
    *(bisect.insort, bisect.insort_left, random.shuffle),
)
"""Functions of the standard library that change their first argument."""


class PassedArguments:
    """Follows arguments into the functions that are called with them.

    Args:
        uses: of each function, by its id.
        methods: each method with its class.
    """

    def __init__(self, uses: Mapping[int, Uses], methods: Sequence[tuple[type, types.FunctionType]]) -> None:
        self._uses = uses
        self._owner = {id(method): owner for owner, method in methods}

    def changes_of(self, function: types.FunctionType) -> Iterator[Uses]:
        """What a function changes by itself, and through each function that it passes values to."""
        yield self._uses[id(function)]
        for names, position, would in self._uses[id(function)].passed:
            called, shift = self._called(function, names)
            if position + shift in self._changed_by(called, frozenset()):
                yield would

    def _changed_by(self, called: Any, callers: frozenset[int]) -> set[int]:
        """Positions of the arguments whose items a function changes."""
        if any(called is one for one in _CHANGE_THE_FIRST):
            return {0}
        if id(called) not in self._uses or id(called) in callers:
            return set()
        uses = self._uses[id(called)]
        changed = set(uses.changed_arguments)
        for names, position, would in uses.passed:
            if would.changed_arguments - changed:
                inner, shift = self._called(called, names)
                if position + shift in self._changed_by(inner, callers | {id(called)}):
                    changed |= would.changed_arguments
        return changed

    def _called(self, function: types.FunctionType, names: tuple[str, ...]) -> tuple[Any, int]:
        """The function that these names stand for in another, and how many arguments it is given before those of the call."""
        if names[0] == "":
            owner = self._owner.get(id(function), object)
            found = next((vars(base)[names[1]] for base in owner.__mro__ if names[1] in vars(base)), None)
            return function_in(found), int(not isinstance(found, staticmethod))
        value = value_of(function, names[0])
        for name in names[1:]:
            value = vars(value).get(name) if isinstance(value, types.ModuleType) else None
        return (value if isinstance(value, (types.FunctionType, types.BuiltinFunctionType)) else wrapped_by(value)), 0


def value_of(function: types.FunctionType, name: str) -> Any:
    """The value of a global or of a variable of an enclosing function; None where it has none."""
    if name in function.__code__.co_freevars and function.__closure__ is not None:
        cell = function.__closure__[function.__code__.co_freevars.index(name)]
        try:
            return cell.cell_contents
        except ValueError:  # it was not assigned yet
            return None
    if name in function.__code__.co_cellvars:  # of a call, and not there between calls
        return None
    return function.__globals__.get(name)
