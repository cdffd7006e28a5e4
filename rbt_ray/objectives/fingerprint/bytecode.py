"""What a function's compiled code does: its canonical form, the names it reads, and the values it changes."""

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
    """The names that a function's code uses, those of functions within it included.

    Args:
        reads: globals and variables of enclosing functions, each with the attributes that are read one after the other
            from it; a name that is used on its own has an empty chain.
        imports: level, module and names of each import statement.
        attributes: all attribute names, but for methods such as `append` of what is only in a local variable.
        changed_globals: globals that it assigns, or whose items it changes.
        changed_cells: the same of variables of enclosing functions.
        changed_attributes: the same of attributes of its first argument.
        changed_of_others: the same of attributes of globals and of variables of enclosing functions, with these.
        changed_arguments: positions of its own arguments whose items it changes.
        passed: for arguments of the calls in it: the called function's names, from a global or ("", method) of its first
            argument; the argument's position; and what would be changed if the called function changes its items.
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
        """Whether it changes anything that is there between calls."""
        found = (self.changed_globals, self.changed_cells, self.changed_attributes, self.changed_of_others)
        return any(found) or bool(self.changed_arguments)


def canonical(code: CodeType) -> str:
    """A hash that two codes share if they do the same by the same instructions.

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
    """The code and all codes within it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes_in(constant)


def uses_of(code: CodeType) -> Uses:
    """What the code of a function uses."""
    uses = Uses()
    for one in codes_in(code):
        _look(one, uses, first=code.co_varnames[0] if one is code and code.co_argcount else None, is_outer=one is code)
    return uses


def _instructions(code: CodeType) -> tuple[str, list[Any]]:
    """The instructions without the positions of constants, which a docstring moves, and the constants in order of use."""
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
    if isinstance(constant, frozenset):  # its order differs from process to process
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
            if not (changes and change.is_local(at - 1)):  # a list that one call makes is no object of the user's
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
    """Records what the values that steps load belong to, since they are changed.

    Args:
        uses: where it is recorded.
        steps: those of one code.
        first: the name of its first argument; None for a function within another.
        arguments: names of its arguments that may be passed by position; of a function within another, none.
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
        """Whether step `at` loads a local variable that is neither the first argument nor another name for what is kept."""
        name = _loaded(self._steps[at])
        return name is not None and name != self._first and name not in self._same_as

    def item_of(self, at: int, into: Uses | None = None) -> None:
        """Records that an item of the value that step `at` loads is changed."""
        steps, uses = self._steps, into or self._uses
        while at >= 0 and (steps[at].opname == "BINARY_SUBSCR" or steps[at].argrepr == "[]"):
            at = _below(steps, at, 1)  # an item of it is changed
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
        """Records that an attribute of the value that step `at` loads is assigned, or an item of it is changed."""
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
        """Records which values step `at` passes to a function by position."""
        n = self._steps[at].argval
        called = self._called(_below(self._steps, at, n))
        for position in range(n if called else 0):
            would = Uses()
            self.item_of(_below(self._steps, at, n - 1 - position), would)
            if would.changes:
                self._uses.passed.append((called, position, would))

    def _called(self, at: int) -> tuple[str, ...]:
        """The names of the function that step `at` loads; none where they are not known."""
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
        """Whether step `at` loads a global, a variable of an enclosing function or an attribute of one of these or of `self`."""
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
    """The step that loads what `steps[at]` sets an item of; -1 where that is not known."""
    if steps[at - 1].opname == "SWAP":  # an augmented assignment, which copies container and key first
        copies = [n for n in range(at) if steps[n].opname == steps[n + 1].opname == "COPY"]
        return _below(steps, copies[-1], 1) if copies else -1
    return _below(steps, at, 2 if steps[at].opname == "STORE_SLICE" else 1)


def _below(steps: Sequence[dis.Instruction], at: int, n: int) -> int:
    """The step that pushes what lies below the top `n` values of the stack before `steps[at]`; -1 if there is none."""
    while n > 0 and at > 0:
        at -= 1
        step = steps[at]
        try:
            n -= dis.stack_effect(step.opcode, step.arg, jump=False)
        except ValueError:
            return -1
    return at - 1


def _assigned_to(steps: Sequence[dis.Instruction], at: int) -> int:
    """The step that loads what `steps[at]` sets an attribute of; -1 where that is not known."""
    if at and steps[at - 1].opname == "SWAP":  # an augmented assignment, which copies the object first
        copied = [n for n in range(1, at) if steps[n].opname == "COPY" and steps[n + 1].argval == steps[at].argval]
        return copied[-1] - 1 if copied else -1
    return at - 1


def _loaded(step: dis.Instruction) -> str | None:
    """The local variable that a step loads, the last one where it loads two."""
    if not step.opname.startswith("LOAD_FAST"):
        return None
    return str(step.argval[-1] if isinstance(step.argval, tuple) else step.argval)


def _stored(step: dis.Instruction) -> tuple[str, ...]:
    """The local variables that a step stores."""
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
