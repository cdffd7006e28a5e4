"""Finds the definitions of names in the sources of modules, without running them."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rbt_ray.objectives.fingerprint.bytecode import canonical, codes_in
from rbt_ray.objectives.fingerprint.own_code import Source, imported

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_Name = tuple[str, str]
"""A module and a name in it."""


@dataclass(slots=True)
class _Module:
    """The source of one module.

    Args:
        statements: top-level statements that define or may change each name.
        imports: names imported from other own modules.
        modules: names of imported own modules.
        rebound: names that a function declares as `global`.
        functions: qualified name and code of each function.
    """

    statements: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, _Name] = field(default_factory=dict)
    modules: dict[str, str] = field(default_factory=dict)
    rebound: set[str] = field(default_factory=set)
    functions: frozenset[_Name] = frozenset()


class Definitions:
    """The definitions in the sources of some modules, without docstrings, annotations and comments."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = sources
        self._modules: dict[str, _Module | None] = {}

    def functions(self, module: str) -> frozenset[tuple[str, str]]:
        """Returns the qualified name and the code hash of each function in a module."""
        found = self._module(module)
        return frozenset() if found is None else found.functions

    def literal(self, module: str, name: str) -> tuple[str, Any] | None:
        """Returns the module that assigns a literal to a name, and its value; None if only running the module gives the value."""
        for _ in range(len(self._sources)):
            found = self._module(module)
            if found is None or name in found.rebound:
                return None
            statements = found.statements.get(name, [])
            if len(statements) == 1 and name in found.imports:
                module, name = found.imports[name]
                continue
            return _literal(module, name, statements)
        return None  # modules that import the name from each other

    def of(self, module: str, name: str) -> frozenset[tuple[str, str]]:
        """Returns all statements that the value of a name may depend on, each with its module."""
        found: set[tuple[str, str]] = set()
        seen: set[_Name] = set()
        waiting = [(module, name)]
        while waiting:
            if (here := waiting.pop()) in seen:
                continue
            seen.add(here)
            source = self._module(here[0])
            if source is None:
                continue
            if here[1] in source.imports:
                waiting.append(source.imports[here[1]])
            for statement in source.statements.get(here[1], []):
                found.add((here[0], ast.dump(statement)))
                waiting += self._read_by(statement, here[0], source)
        return frozenset(found)

    def _read_by(self, statement: ast.stmt, module: str, source: _Module) -> Iterator[_Name]:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and node.id in source.statements:
                yield module, node.id
            elif isinstance(node, ast.Attribute) and (names := _dotted(node)) and names[0] in source.modules:
                holder, rest = source.modules[names[0]], names[1:]
                while len(rest) > 1 and f"{holder}.{rest[0]}" in self._sources:
                    holder, rest = f"{holder}.{rest[0]}", rest[1:]
                yield holder, rest[0]

    def _module(self, name: str) -> _Module | None:
        if name not in self._modules:
            source = self._sources.get(name)
            self._modules[name] = None if source is None else self._parsed(name, source)
        return self._modules[name]

    def _parsed(self, name: str, source: Source) -> _Module | None:
        try:
            code = compile(source.content, "module", "exec", dont_inherit=True)
            tree = _Plain().visit(ast.parse(source.content))
        except (SyntaxError, ValueError):  # its import fails in the workers
            return None
        found = _Module(functions=frozenset((one.co_qualname, canonical(one)) for one in codes_in(code)))
        package = name if source.is_package else name.rpartition(".")[0]
        for statement in tree.body:
            for mentioned in _mentioned(statement):
                found.statements.setdefault(mentioned, []).append(statement)
        for node in ast.walk(tree):
            if isinstance(node, ast.Global):
                found.rebound.update(node.names)
            elif isinstance(node, ast.Import):
                found.modules.update(
                    (
                        alias.asname or alias.name.partition(".")[0],
                        alias.name if alias.asname else alias.name.partition(".")[0],
                    )
                    for alias in node.names
                )
            elif isinstance(node, ast.ImportFrom):
                self._import_from(found, node, package)
        return found

    def _import_from(self, found: _Module, node: ast.ImportFrom, package: str) -> None:
        base = next(iter(reversed([*imported("." * node.level + (node.module or ""), (), package)])), "")
        for alias in node.names:
            if f"{base}.{alias.name}" in self._sources:
                found.modules[alias.asname or alias.name] = f"{base}.{alias.name}"
            elif base in self._sources:
                found.imports[alias.asname or alias.name] = base, alias.name


class _Plain(ast.NodeTransformer):
    """Removes docstrings and annotations."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if (
            isinstance(node, (*_FUNCTIONS, ast.ClassDef, ast.Module))
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:]
        if isinstance(node, _FUNCTIONS):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
        return node


def _mentioned(statement: ast.stmt) -> set[str]:
    """Returns the names that a top-level statement defines or may change."""
    if isinstance(statement, (*_FUNCTIONS, ast.ClassDef)):
        return {statement.name}
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return {alias.asname or alias.name.partition(".")[0] for alias in statement.names}
    if isinstance(statement, ast.If) and "__name__" in {getattr(node, "id", "") for node in ast.walk(statement.test)}:
        return set()  # code of a script
    nodes = [*ast.walk(statement)]
    assigned = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    changes = any(isinstance(node, ast.Call) for node in nodes) or not isinstance(
        statement, (ast.Assign, ast.AnnAssign)
    )
    changes |= any(
        isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, ast.Store) for node in nodes
    )
    return {node.id for node in nodes if isinstance(node, ast.Name)} if changes else assigned


def _literal(module: str, name: str, statements: list[ast.stmt]) -> tuple[str, Any] | None:
    if len(statements) != 1:
        return None
    [statement] = statements
    if isinstance(statement, ast.Assign):
        targets, value = statement.targets, statement.value
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        targets, value = [statement.target], statement.value
    else:
        return None
    if not any(isinstance(target, ast.Name) and target.id == name for target in targets):
        return None
    try:
        return module, ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _dotted(node: ast.expr) -> list[str]:
    """Returns the names in `a.b.c`; empty for an attribute of anything else."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute) and (names := _dotted(node.value)):
        return [*names, node.attr]
    return []
