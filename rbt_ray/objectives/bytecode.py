"""What a function's compiled code says: its canonical form, the names it reads, and those whose values it changes."""

from __future__ import annotations

import dis
import hashlib
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

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


@dataclass(slots=True)
class Uses:
    """The names that a function's code uses, those of functions within it included.

    Args:
        reads: globals and variables of enclosing functions, each with the attributes that are read one after the other
            from it; a name that is used on its own has an empty chain.
        imports: level, module and names of each import statement.
        attributes: all attribute names.
        changed_globals: globals that it assigns, or whose items it changes.
        changed_cells: the same of variables of enclosing functions.
        changed_attributes: the same of attributes of its first argument.
    """

    reads: dict[str, set[tuple[str, ...]]] = field(default_factory=dict)
    imports: list[tuple[int, str, tuple[str, ...]]] = field(default_factory=list)
    attributes: set[str] = field(default_factory=set)
    changed_globals: set[str] = field(default_factory=set)
    changed_cells: set[str] = field(default_factory=set)
    changed_attributes: set[str] = field(default_factory=set)


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
        _look(one, uses, first=code.co_varnames[0] if one is code and code.co_argcount else None)
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


def _look(code: CodeType, uses: Uses, *, first: str | None) -> None:
    steps = [step for step in dis.get_instructions(code) if step.opname != "EXTENDED_ARG"]
    for at, step in enumerate(steps):
        name = step.opname
        if name in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF"):
            uses.reads.setdefault(step.argval, set()).add(_chain(steps, at))
        elif name in ("LOAD_ATTR", "LOAD_METHOD"):
            uses.attributes.add(step.argval)
            if step.argval in _CHANGING:
                _changes(uses, steps, at - 1, first)
        elif name == "IMPORT_NAME":
            level, names = steps[at - 2].argval, steps[at - 1].argval
            uses.imports.append((level if isinstance(level, int) else 0, step.argval, tuple(names or ())))
        elif name in ("STORE_GLOBAL", "DELETE_GLOBAL"):
            uses.changed_globals.add(step.argval)
        elif name == "STORE_DEREF" and step.argval in code.co_freevars:
            uses.changed_cells.add(step.argval)
        elif name in ("STORE_SUBSCR", "DELETE_SUBSCR", "STORE_SLICE"):
            _changes(uses, steps, _container(steps, at), first)
        elif name == "STORE_ATTR" and first is not None and _assigns_to(steps, at, first):
            uses.changed_attributes.add(step.argval)


def _chain(steps: Sequence[dis.Instruction], at: int) -> tuple[str, ...]:
    end = at + 1
    while end < len(steps) and steps[end].opname in ("LOAD_ATTR", "LOAD_METHOD"):
        end += 1
    return tuple(step.argval for step in steps[at + 1 : end])


def _changes(uses: Uses, steps: Sequence[dis.Instruction], at: int, first: str | None) -> None:
    """Notes what the value that step `at` loads belongs to, since it is changed."""
    while at >= 0 and (steps[at].opname == "BINARY_SUBSCR" or steps[at].argrepr == "[]"):
        at = _below(steps, at, 1)  # an item of it is changed
    if at < 0:
        return
    step = steps[at]
    if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
        uses.changed_globals.add(step.argval)
    elif step.opname == "LOAD_DEREF":
        uses.changed_cells.add(step.argval)
    elif step.opname == "LOAD_ATTR" and first is not None and at and _loads(steps[at - 1], first):
        uses.changed_attributes.add(step.argval)


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


def _assigns_to(steps: Sequence[dis.Instruction], at: int, first: str) -> bool:
    if at and _loads(steps[at - 1], first):
        return True
    copied = (n for n in range(1, at) if steps[n].opname == "COPY" and steps[n + 1].argval == steps[at].argval)
    return steps[at - 1].opname == "SWAP" and any(_loads(steps[n - 1], first) for n in copied)


def _loads(step: dis.Instruction, name: str) -> bool:
    if not step.opname.startswith("LOAD_FAST"):
        return False
    loaded = step.argval[-1] if isinstance(step.argval, tuple) else step.argval
    return bool(loaded == name)
