"""Fingerprint: identifies what an objective computes by its code and state, comparable between processes.

It follows the code of the objective through the user's own modules: functions, classes, and globals, default values,
closures and attributes with plain values. Installed modules count by name. Values that the reached code itself changes,
such as the dict of a cache, are working memory and do not count.
"""

from __future__ import annotations

import functools
import hashlib
import types
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rbt_ray.objectives.fingerprint.bytecode import PassedArguments, Uses, canonical, uses_of, value_of
from rbt_ray.objectives.fingerprint.own_code import (
    CONSTRUCTORS,
    closure,
    file_of,
    function_in,
    imported,
    is_counted,
    is_library_function,
    is_own,
    namespace_of,
    wrapped_by,
)
from rbt_ray.objectives.fingerprint.recorded_names import recorded
from rbt_ray.objectives.fingerprint.values import Location, ValueText

_Ignored = frozenset[tuple[int, str]]
"""Working memory: names, each with the id of the globals, class, object or closure code that it belongs to."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The fingerprint of an objective, and what was reached.

    Args:
        digest: equal for objectives that compute the same.
        parts: value of each part by its label: a number, or a hash.
        imports: own modules that functions import when called.
        codes: qualified names and code hashes of the reached functions, by module.
        reads: globals that these functions read, by module.
    """

    digest: str
    parts: dict[str, str]
    imports: tuple[str, ...]
    codes: dict[str, set[tuple[str, str]]]
    reads: dict[str, dict[str, Any]]


def fingerprint_of(objective: Any) -> Fingerprint:
    """Returns the fingerprint of an objective of any kind."""
    walk = _Walk(frozenset())
    digest = walk.run(objective)
    if ignored := walk.changed_by_itself():
        walk = _Walk(ignored)
        digest = walk.run(objective)
    return Fingerprint(digest, walk.parts, tuple(walk.imports), walk.codes, walk.reads)


class _Walk:
    """One pass over everything that an objective reaches; functions and classes are numbered in order."""

    def __init__(self, ignored: _Ignored) -> None:
        self.parts: dict[str, str] = {}
        self.imports: dict[str, None] = {}
        self.codes: dict[str, set[tuple[str, str]]] = {}
        self.reads: dict[str, dict[str, Any]] = {}
        self._ignored = ignored
        self._numbers: dict[int, int] = {}
        self._queue: deque[Any] = deque()
        self._uses: list[tuple[types.FunctionType, Uses]] = []
        self._entries: set[int] = set()
        self._methods: list[tuple[type, str, types.FunctionType]] = []
        self._values = ValueText(self._reference, self._part, self._counts)

    def run(self, objective: Any) -> str:
        total = hashlib.sha256()
        total.update(self._values.named(Location("the", "objective"), objective).encode(errors="surrogatepass"))
        self._entries |= {id(reached) for reached in self._queue}
        while self._queue:
            reached = self._queue.popleft()
            text = self._class(reached) if isinstance(reached, type) else self._function(reached)
            total.update(f"\n{text}".encode(errors="surrogatepass"))
        for name, source in sorted(closure(self.imports).items()):
            digest = code_of(source.content)
            self._part(f"the module {file_of({'__name__': name, '__file__': source.file})}", digest)
            total.update(f"\n{name} {digest}".encode())
        return total.hexdigest()

    def changed_by_itself(self) -> _Ignored:
        """Returns what is changed by functions that a call of the objective may run."""
        called = self._called()
        changed: set[tuple[int, str]] = set()
        by_function = {id(function): uses for function, uses in self._uses}
        passing = PassedArguments(by_function, [(owner, method) for owner, _, method in self._methods])
        found = [
            (function, changes)
            for function, _ in self._uses
            if id(function) in called
            for changes in passing.changes_of(function)
        ]
        owners: dict[int, list[type]] = {}
        for owner, _, method in self._methods:
            owners.setdefault(id(method), []).append(owner)
        for function, uses in found:
            changed.update((id(function.__globals__), name) for name in uses.changed_globals)
            changed.update((id(function.__code__), name) for name in uses.changed_cells)
            for name, attribute in uses.changed_of_others:
                if (kept := value_of(function, name)) is not None:
                    changed.add((id(vars(kept) if isinstance(kept, types.ModuleType) else kept), attribute))
            for owner in owners.get(id(function), []):
                changed.update((id(owner), attribute) for attribute in uses.changed_attributes)
        return frozenset(changed)

    def _called(self) -> set[int]:
        """Returns ids of the functions that a call of the objective may run, judged by names.

        A constructor changes only objects that the call creates. A function that no code names may be called through a
        container that holds it, such as a dict.
        """
        methods = {id(method): name for _, name, method in self._methods}
        names = {id(function): methods.get(id(function), function.__name__) for function, _ in self._uses}
        mentioned = {id(function): uses.attributes | uses.reads.keys() for function, uses in self._uses}
        by_any = set().union(*mentioned.values())
        constructors = {one for one, name in methods.items() if name in CONSTRUCTORS}
        called = self._entries | {one for one, name in methods.items() if name.startswith("__")}
        called = (called | {one for one in names if one not in methods and names[one] not in by_any}) - constructors
        while True:
            by_called = set().union(*(mentioned.get(one, ()) for one in called))
            found = {one for one, name in names.items() if name in by_called} - constructors
            if found <= called:
                return called
            called |= found

    def _counts(self, value: Any, attribute: str) -> bool:
        return (id(value), attribute) not in self._ignored and self._counts_of(type(value), attribute)

    def _counts_of(self, owner: type, attribute: str) -> bool:
        return is_counted(owner, attribute) and not any(
            (id(base), attribute) in self._ignored for base in owner.__mro__
        )

    def _part(self, label: str, shown: str) -> None:
        n, unique = 1, label
        while unique in self.parts:
            n += 1
            unique = f"{label} ({n})"
        self.parts[unique] = shown

    def _reference(self, value: Any, at: Location) -> str | None:
        """Returns the text for a function, class, module or wrapper; None for any other value."""
        if isinstance(value, types.ModuleType):
            return self._module(value, ())
        if isinstance(value, (types.FunctionType, type)):
            return self._numbered(value)
        if isinstance(value, types.MethodType):
            self._entries.add(id(value.__func__))
            return f"method {self._reference(value.__func__, at)} of {self._values.text(value.__self__, at)}"
        if isinstance(value, (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType)):
            return f"builtin {getattr(value, '__module__', None)}.{value.__qualname__}"
        if isinstance(value, types.CodeType):
            return canonical(value)
        if isinstance(value, functools.partial):
            given = [self._values.named(at.argument(n), argument) for n, argument in enumerate(value.args)]
            given += [
                f"{name}={self._values.named(at.argument(name), argument)}"
                for name, argument in sorted(value.keywords.items())
            ]
            return f"partial {self._values.text(value.func, at)} {given}"
        if (inner := wrapped_by(value)) is not None:
            options = getattr(value, "targetoptions", None)  # options of numba
            compiled = "" if not isinstance(options, dict) else self._values.text(options, at)
            return f"{type(value).__qualname__} {compiled} of {self._values.text(inner, at)}"
        if is_library_function(value):
            return f"{getattr(value, '__module__', None)}.{value.__name__}"
        return None

    def _numbered(self, value: Any) -> str:
        if not is_own(namespace_of(value)):
            return recorded(f"{value.__module__}.{value.__qualname__}")
        if id(value) not in self._numbers:
            self._numbers[id(value)] = len(self._numbers)
            self._queue.append(value)
        return f"#{self._numbers[id(value)]}"

    def _module(self, module: types.ModuleType, chain: tuple[str, ...]) -> str:
        """Returns the text of a module whose attributes the code reads by a chain; an empty chain may read any of them."""
        namespace = vars(module)
        if not is_own(namespace):
            return f"module {module.__name__}.{'.'.join(chain)}"
        if not chain:
            defined = {name: value for name, value in namespace.items() if not name.startswith("__")}
            texts = [self._global(namespace, name, {()}) for name in sorted(defined) if _is_of(defined[name], module)]
            return f"module {texts}"
        if chain[0] not in namespace:
            return f"no {chain[0]}"
        return self._global(namespace, chain[0], {chain[1:]})

    def _global(self, namespace: dict[str, Any], name: str, chains: Iterable[tuple[str, ...]]) -> str:
        if (id(namespace), name) in self._ignored or (name.startswith("__") and name.endswith("__")):
            return name
        at = Location("the global", name, f" of {file_of(namespace)}", root=namespace, is_global=True)
        value = namespace[name]
        self.reads.setdefault(str(namespace.get("__name__")), {})[name] = value
        if isinstance(value, types.ModuleType):
            return f"{name} {[self._module(value, chain) for chain in sorted(chains)]}"
        return f"{name} {self._values.named(at, value)}"

    def _function(self, function: types.FunctionType) -> str:
        code, namespace = function.__code__, function.__globals__
        uses = uses_of(code)
        self._uses.append((function, uses))
        digest = canonical(code)
        where = f" of {file_of(namespace)}"
        name = function.__qualname__.rpartition("<locals>.")[2]
        if code.co_filename == namespace.get("__file__"):  # not code generated by `dataclass` and others
            self.codes.setdefault(str(namespace.get("__name__")), set()).add((code.co_qualname, digest))
        kind = "method" if "." in name else "function"
        self._part(f"a lambda{where}" if name == "<lambda>" else f"the {kind} `{name}`{where}", digest)
        text = [digest]
        inside = f" in `{name}`{where}"
        arguments = code.co_varnames[: code.co_argcount]
        defaults = function.__defaults__ or ()
        given = [*zip(arguments[len(arguments) - len(defaults) :], defaults, strict=True)]
        for argument, value in [*given, *sorted((function.__kwdefaults__ or {}).items())]:
            text.append(f"{argument}={self._values.named(Location('the default of', argument, inside), value)}")
        for variable, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            text.append(
                f"{variable}:{self._cell(function, variable, cell, uses, Location('the variable', variable, inside))}"
            )
        for attribute, value in sorted(vars(function).items()):
            if attribute != "__wrapped__" and (id(function), attribute) not in self._ignored:
                text.append(
                    f".{attribute}={self._values.named(Location('the attribute', f'{name}.{attribute}', where), value)}"
                )
        text += [self._global(namespace, read, uses.reads[read]) for read in sorted(uses.reads) if read in namespace]
        for level, base, names in uses.imports:
            text += self._imported("." * level + base, names, namespace)
        return " ".join(text)

    def _cell(self, function: types.FunctionType, name: str, cell: Any, uses: Uses, at: Location) -> str:
        if (id(function.__code__), name) in self._ignored:
            return ""
        try:
            value = cell.cell_contents
        except ValueError:
            return "empty"
        if isinstance(value, types.ModuleType):
            return str([self._module(value, chain) for chain in sorted(uses.reads.get(name, {()}))])
        return self._values.named(at, value)

    def _imported(self, base: str, names: tuple[str, ...], namespace: dict[str, Any]) -> list[str]:
        package = namespace.get("__package__") or ""
        self.imports.update(dict.fromkeys(imported(base, names, package)))
        return [base, *names]

    def _class(self, kind: type) -> str:
        where = f" of {file_of(namespace_of(kind))}"
        text = [self._values.text(base, Location("", "")) for base in (type(kind), *kind.__bases__)]
        for name, value in sorted(vars(kind).items()):
            if (function := function_in(value)) is not None:
                self._methods.append((kind, name, function))
                text.append(f"{name}:{type(value).__name__} {self._numbered(function)}")
            elif isinstance(value, property):
                accessors = [one for one in (value.fget, value.fset, value.fdel) if isinstance(one, types.FunctionType)]
                text.append(f"{name}:property {[self._numbered(one) for one in accessors]}")
            elif not name.startswith("__") and self._counts_of(kind, name):
                at = Location(
                    "the class attribute",
                    f"{kind.__qualname__.rpartition('<locals>.')[2]}.{name}",
                    where,
                    is_global=True,
                )
                text.append(f"{name}:{self._values.named(at, value)}")
        return " ".join(text)


def _is_of(value: Any, module: types.ModuleType) -> bool:
    """Returns whether a module defines a value itself, rather than importing it."""
    if isinstance(value, types.ModuleType):
        return False
    return getattr(value, "__module__", module.__name__) == module.__name__


def code_of(content: bytes) -> str:
    """Returns a hash of the compiled source of a module, or of the source if it cannot be compiled."""
    try:
        return canonical(compile(content, "module", "exec", dont_inherit=True))
    except (SyntaxError, ValueError):  # importing it fails too
        return hashlib.sha256(content).hexdigest()
