"""Analyses the compiled code of a function: its canonical form, the names it reads, and the values it changes."""

from __future__ import annotations

import bisect
import dis
import hashlib
import heapq
import inspect
import random
import types
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

from rbt_ray.objectives.fingerprint.own_code import function_in, wrapped_by

_MEANT = (
    inspect.CO_OPTIMIZED
    | inspect.CO_NEWLOCALS
    | inspect.CO_VARARGS
    | inspect.CO_VARKEYWORDS
    | inspect.CO_GENERATOR
    | inspect.CO_COROUTINE
    | inspect.CO_ITERABLE_COROUTINE
    | inspect.CO_ASYNC_GENERATOR
)
_LOADS_CONSTANT = frozenset(dis.hasconst)
_CHANGING = {
    *("append", "appendleft", "extend", "insert", "pop", "popleft", "popitem", "remove", "clear", "sort", "reverse"),
    *("add", "discard", "update", "setdefault", "move_to_end", "fill", "put", "difference_update"),
}
"""Methods that change the list, dict, set, deque or array they are called on."""
_LOADS_GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME")
_LOADS_NAME = (*_LOADS_GLOBAL, "LOAD_DEREF", "LOAD_CLASSDEREF")
_CALLS = "PRECALL" if "PRECALL" in dis.opmap else "CALL"
_LOADS_ATTRIBUTE = ("LOAD_ATTR", "LOAD_METHOD")


@dataclass(slots=True)
class Uses:
    """The names that the code of a function uses, including functions within it.

    Args:
        reads: globals and variables of enclosing functions, each with the chains of attributes read from it; a name that
            is used on its own has an empty chain.
        imports: level, module and names of each import statement.
        attributes: all attribute names, except methods such as `append` of local variables.
        changed_globals: globals that it assigns or whose items it changes.
        changed_cells: variables of enclosing functions that it assigns or whose items it changes.
        changed_attributes: attributes of its first argument, likewise.
        changed_of_others: attributes of globals and of variables of enclosing functions, with the name of the variable.
        changed_arguments: positions of its arguments whose items it changes.
        passed: for each argument of a call: the names of the called function, from a global, or ("", method) for a method
            of the first argument; the position; and what is changed if the called function changes its items.
    """

    reads: dict[str, set[tuple[str, ...]]] = field(default_factory=dict)
    imports: list[tuple[int, str, tuple[str, ...]]] = field(default_factory=list)
    attributes: set[str] = field(default_factory=set)
    changed_globals: set[str] = field(default_factory=set)
    changed_cells: set[str] = field(default_factory=set)
    changed_attributes: set[str] = field(default_factory=set)
    changed_of_others: set[tuple[str, str]] = field(default_factory=set)
    changed_arguments: set[int] = field(default_factory=set)
    passed: list[tuple[tuple[str, ...], int, Uses]] = field(default_factory=list)

    @property
    def changes(self) -> bool:
        """Whether it changes anything that outlives a call."""
        found = (self.changed_globals, self.changed_cells, self.changed_attributes, self.changed_of_others)
        return any(found) or bool(self.changed_arguments)


def canonical(code: CodeType) -> str:
    """Returns a hash that is equal for codes with the same instructions and constants.

    Line numbers, file names, comments and docstrings do not count.
    """
    instructions, constants = _instructions(code)
    parts = [
        instructions,
        code.co_exceptiontable.hex(),
        code.co_argcount,
        code.co_posonlyargcount,
        code.co_kwonlyargcount,
        code.co_flags & _MEANT,
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
        [_constant(constant) for constant in constants],
    ]
    return hashlib.sha256(repr(parts).encode(errors="surrogatepass")).hexdigest()


def codes_in(code: CodeType) -> Iterator[CodeType]:
    """Yields the code and all codes within it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes_in(constant)


def uses_of(code: CodeType) -> Uses:
    """Returns the names that the code of a function uses."""
    uses = Uses()
    for one in codes_in(code):
        _look(one, uses, first=code.co_varnames[0] if one is code and code.co_argcount else None, is_outer=one is code)
    return uses


def _instructions(code: CodeType) -> tuple[str, list[Any]]:
    """Returns the instructions without positions of constants, which a docstring shifts, and the constants in order of use."""
    instructions = bytearray(code.co_code)
    used: list[Any] = []
    high = 0
    for at in range(0, len(instructions), 2):
        if instructions[at] in _LOADS_CONSTANT:
            used.append(code.co_consts[high << 8 | instructions[at + 1]])
            instructions[at + 1] = 0
            if high:
                instructions[at - 1] = 0
        high = high << 8 | instructions[at + 1] if instructions[at] == dis.EXTENDED_ARG else 0
    return instructions.hex(), used


def _constant(constant: Any) -> str:
    if isinstance(constant, CodeType):
        return canonical(constant)
    if isinstance(constant, tuple):
        return f"({','.join(map(_constant, constant))})"
    if isinstance(constant, frozenset):  # its order differs between processes
        return f"{{{','.join(sorted(map(_constant, constant)))}}}"
    return f"{type(constant).__name__}:{constant!r}" if type(constant) is not int else f"int:{constant:x}"


def _look(code: CodeType, uses: Uses, *, first: str | None, is_outer: bool) -> None:
    steps = [step for step in dis.get_instructions(code) if step.opname != "EXTENDED_ARG"]
    arguments = code.co_varnames[: code.co_argcount]
    change = _Changes(uses, steps, first, arguments if is_outer else ())
    for at, step in enumerate(steps):
        name = step.opname
        if name in _LOADS_NAME:
            uses.reads.setdefault(step.argval, set()).add(_chain(steps, at))
        elif name in _LOADS_ATTRIBUTE:
            changes = step.argval in _CHANGING
            if not (changes and change.is_local(at - 1)):  # a list created within a call
                uses.attributes.add(step.argval)
            if changes:
                change.item_of(at - 1)
        elif name == "IMPORT_NAME":
            level, names = steps[at - 2].argval, steps[at - 1].argval
            uses.imports.append((level if isinstance(level, int) else 0, step.argval, tuple(names or ())))
        elif name in ("STORE_GLOBAL", "DELETE_GLOBAL"):
            uses.changed_globals.add(step.argval)
        elif name == "STORE_DEREF" and step.argval in code.co_freevars:
            uses.changed_cells.add(step.argval)
        elif name in ("STORE_SUBSCR", "DELETE_SUBSCR", "STORE_SLICE"):
            change.item_of(_container(steps, at))
        elif name == "STORE_ATTR":
            change.attribute_of(_assigned_to(steps, at), step.argval)
        elif name == _CALLS and steps[at - 1].opname != "KW_NAMES":
            change.passed_by(at)


class _Changes:
    """Records changes of values by the variable that they were loaded from.

    Args:
        uses: where changes are recorded.
        steps: instructions of one code.
        first: name of the first argument; None for a function within another.
        arguments: names of the positional arguments; empty for a function within another.
    """

    def __init__(
        self, uses: Uses, steps: Sequence[dis.Instruction], first: str | None, arguments: Sequence[str]
    ) -> None:
        self._uses, self._steps, self._first, self._arguments = uses, steps, first, arguments
        stored = [(at, name) for at, step in enumerate(steps) for name in _stored(step)]
        n_stored = Counter([*arguments, *(name for _, name in stored)])
        self._assigned = {name for _, name in stored}
        self._same_as = {name: at - 1 for at, name in stored if n_stored[name] == 1 and at and self._is_kept(at - 1)}

    def is_local(self, at: int) -> bool:
        """Returns whether step `at` loads a local variable that is neither the first argument nor an alias of a lasting value."""
        name = _loaded(self._steps[at])
        return name is not None and name != self._first and name not in self._same_as

    def item_of(self, at: int, into: Uses | None = None) -> None:
        """Records a change of an item of the value that step `at` loads."""
        steps, uses = self._steps, into or self._uses
        while at >= 0 and (steps[at].opname == "BINARY_SUBSCR" or steps[at].argrepr == "[]"):
            at = _below(steps, at, 1)  # the changed item is in an item
        at = self._same_as.get(_loaded(steps[at]) or "", at)
        if at < 0:
            return
        step = steps[at]
        if step.opname in _LOADS_GLOBAL:
            uses.changed_globals.add(step.argval)
        elif step.opname == "LOAD_DEREF":
            uses.changed_cells.add(step.argval)
        elif step.opname in _LOADS_ATTRIBUTE:
            self.attribute_of(at - 1, step.argval, uses)
        elif self._arguments and (name := _loaded(step)) in self._arguments and name not in self._assigned:
            uses.changed_arguments.add(self._arguments.index(str(name)))

    def attribute_of(self, at: int, attribute: str, into: Uses | None = None) -> None:
        """Records an assignment to an attribute of the value that step `at` loads, or a change of its items."""
        if at < 0:
            return
        step, uses = self._steps[at], into or self._uses
        if self._first is not None and _loaded(step) == self._first:
            uses.changed_attributes.add(attribute)
            return
        step = self._steps[self._same_as.get(_loaded(step) or "", at)]
        if step.opname in _LOADS_NAME:
            uses.changed_of_others.add((step.argval, attribute))

    def passed_by(self, at: int) -> None:
        """Records the values that step `at` passes to a function by position."""
        n = self._steps[at].argval
        called = self._called(_below(self._steps, at, n))
        for position in range(n if called else 0):
            would = Uses()
            self.item_of(_below(self._steps, at, n - 1 - position), would)
            if would.changes:
                self._uses.passed.append((called, position, would))

    def _called(self, at: int) -> tuple[str, ...]:
        """Returns the names of the function that step `at` loads; empty if unknown."""
        steps, names = self._steps, list[str]()
        while at >= 0 and steps[at].opname in (*_LOADS_ATTRIBUTE, "PUSH_NULL"):
            names += [steps[at].argval] if steps[at].opname != "PUSH_NULL" else []
            at -= 1
        if at < 0:
            return ()
        if steps[at].opname in _LOADS_NAME:
            return (steps[at].argval, *reversed(names))
        is_method = self._first is not None and _loaded(steps[at]) == self._first and len(names) == 1
        return ("", *names) if is_method else ()

    def _is_kept(self, at: int) -> bool:
        """Returns whether step `at` loads a global, a variable of an enclosing function, or an attribute of these or of `self`."""
        step, before = self._steps[at], self._steps[at - 1] if at else None
        if step.opname in _LOADS_NAME:
            return True
        if step.opname != "LOAD_ATTR" or before is None:
            return False
        return before.opname in _LOADS_NAME or (self._first is not None and _loaded(before) == self._first)


def _chain(steps: Sequence[dis.Instruction], at: int) -> tuple[str, ...]:
    end = at + 1
    while end < len(steps) and steps[end].opname in ("LOAD_ATTR", "LOAD_METHOD"):
        end += 1
    return tuple(step.argval for step in steps[at + 1 : end])


def _container(steps: Sequence[dis.Instruction], at: int) -> int:
    """Returns the step that loads the container in which `steps[at]` sets an item; -1 if unknown."""
    if steps[at - 1].opname == "SWAP":  # an augmented assignment copies container and key first
        copies = [n for n in range(at) if steps[n].opname == steps[n + 1].opname == "COPY"]
        return _below(steps, copies[-1], 1) if copies else -1
    return _below(steps, at, 2 if steps[at].opname == "STORE_SLICE" else 1)


def _below(steps: Sequence[dis.Instruction], at: int, n: int) -> int:
    """Returns the step that pushes the value below the top `n` of the stack before `steps[at]`; -1 if there is none."""
    while n > 0 and at > 0:
        at -= 1
        step = steps[at]
        try:
            n -= dis.stack_effect(step.opcode, step.arg, jump=False)
        except ValueError:
            return -1
    return at - 1


def _assigned_to(steps: Sequence[dis.Instruction], at: int) -> int:
    """Returns the step that loads the object on which `steps[at]` sets an attribute; -1 if unknown."""
    if at and steps[at - 1].opname == "SWAP":  # an augmented assignment copies the object first
        copied = [n for n in range(1, at) if steps[n].opname == "COPY" and steps[n + 1].argval == steps[at].argval]
        return copied[-1] - 1 if copied else -1
    return at - 1


def _loaded(step: dis.Instruction) -> str | None:
    """Returns the local variable that a step loads, the last one if it loads two."""
    if not step.opname.startswith("LOAD_FAST"):
        return None
    return str(step.argval[-1] if isinstance(step.argval, tuple) else step.argval)


def _stored(step: dis.Instruction) -> tuple[str, ...]:
    """Returns the local variables that a step stores."""
    if not step.opname.startswith("STORE_FAST"):
        return ()
    if step.opname == "STORE_FAST_LOAD_FAST":
        return (step.argval[0],)
    return step.argval if isinstance(step.argval, tuple) else (step.argval,)


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
        """Yields the changes that a function makes itself, and through each function that it passes values to."""
        yield self._uses[id(function)]
        for names, position, would in self._uses[id(function)].passed:
            called, shift = self._called(function, names)
            if position + shift in self._changed_by(called, frozenset()):
                yield would

    def _changed_by(self, called: Any, callers: frozenset[int]) -> set[int]:
        """Returns positions of the arguments whose items a function changes."""
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
        """Returns the function that the names refer to, and the number of its arguments before those of the call."""
        if names[0] == "":
            owner = self._owner.get(id(function), object)
            found = next((vars(base)[names[1]] for base in owner.__mro__ if names[1] in vars(base)), None)
            return function_in(found), int(not isinstance(found, staticmethod))
        value = value_of(function, names[0])
        for name in names[1:]:
            value = vars(value).get(name) if isinstance(value, types.ModuleType) else None
        return (value if isinstance(value, (types.FunctionType, types.BuiltinFunctionType)) else wrapped_by(value)), 0


def value_of(function: types.FunctionType, name: str) -> Any:
    """Returns the value of a global or of a variable of an enclosing function; None if it has none."""
    if name in function.__code__.co_freevars and function.__closure__ is not None:
        cell = function.__closure__[function.__code__.co_freevars.index(name)]
        try:
            return cell.cell_contents
        except ValueError:  # not assigned yet
            return None
    if name in function.__code__.co_cellvars:  # exists only during a call
        return None
    return function.__globals__.get(name)
