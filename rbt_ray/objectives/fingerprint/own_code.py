"""Finds the user's own modules, functions and classes: those outside the standard library, site-packages and rbt_ray."""

from __future__ import annotations

import ast
import functools
import importlib.util
import inspect
import os
import pkgutil
import sys
import sysconfig
import time
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

_INSTALLED = tuple(
    folder + os.sep
    for folder in (
        *(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        str(Path(__file__).parents[2]),
    )
)
_PACKAGE_FOLDERS = {"site-packages", "dist-packages"}
_DISTINCT_NS = 2 * 10**9
"""A file older than this gets another time when it is written again."""
_read: dict[str, tuple[tuple[int, int, int], bytes]] = {}
"""Version and content of the files that were read."""


@dataclass(frozen=True, slots=True)
class Source:
    """The source of a module.

    Args:
        file: path of the file.
        is_package: whether the module is a package.
        content: the bytes of the file.
    """

    file: str
    is_package: bool
    content: bytes


@lru_cache(maxsize=4096)
def is_own_file(file: str) -> bool:
    """Returns whether a module of this file is the user's own."""
    installed = file.startswith(_INSTALLED) or not _PACKAGE_FOLDERS.isdisjoint(Path(file).parts)
    return not installed and not file.startswith("<frozen")


def is_own(namespace: Mapping[str, Any]) -> bool:
    """Returns whether a module with these globals is the user's own; code typed at a prompt is too."""
    if isinstance(file := namespace.get("__file__"), str):
        return is_own_file(file)
    return getattr(namespace.get("__spec__"), "origin", None) not in ("built-in", "frozen")


def own_sources(names: Iterable[str] = ()) -> dict[str, Source]:
    """Returns the sources of the user's own modules, by module name.

    These are the loaded modules, those in `names`, and those that any of these import, also within functions that have not
    run yet. Imports no module. `__main__` is excluded.
    """
    found: dict[str, Source] = {}
    for name in list(sys.modules):
        spec = spec_of(name)
        if name not in ("__main__", "__mp_main__") and spec is not None and spec.name == name:
            _add(found, name, spec)
    _follow(found, [*names, *(other for name in found for other in imported_by(name, found[name]))], source_of)
    return found


def closure(names: Iterable[str], sources: Mapping[str, Source] | None = None) -> dict[str, Source]:
    """Returns the own modules among the named ones, and the own modules that they import, directly or not.

    Args:
        names: the modules to start from.
        sources: all own modules; None: read their files.
    """
    found: dict[str, Source] = {}
    _follow(found, list(names), source_of if sources is None else sources.get)
    return found


def _follow(found: dict[str, Source], waiting: list[str], look_up: Callable[[str], Source | None]) -> None:
    """Adds the own modules among those waiting, and the own modules that they import, directly or not."""
    seen = set(found)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if (source := look_up(name)) is not None:
            found[name] = source
            waiting += imported_by(name, source)


def source_of(name: str) -> Source | None:
    """Returns the source of one of the user's own modules, loaded or not; None for any other module."""
    found: dict[str, Source] = {}
    _add(found, name, find_spec(name))
    return found.get(name)


def find_spec(name: str) -> ModuleSpec | None:
    """Returns the spec of a module without importing its packages; None if there is none."""
    if sys.modules.get(name) is not None:
        return spec_of(name)
    parent, _, _ = name.rpartition(".")
    try:
        if not parent:
            return PathFinder.find_spec(name)
        holder = find_spec(parent)
        locations = [] if holder is None else holder.submodule_search_locations
        return _spec_in(locations or [], name)
    except (ImportError, ValueError):
        return None


def _spec_in(locations: Iterable[str], name: str) -> ModuleSpec | None:
    """Returns the spec of a submodule. `PathFinder` fails for a namespace package inside one that is not imported."""
    finders = [finder for folder in locations if (finder := pkgutil.get_importer(folder)) is not None]
    found = [spec for finder in finders if (spec := finder.find_spec(name, None)) is not None]
    whole = next((spec for spec in found if spec.loader is not None), None)
    if whole is not None or not found:
        return whole
    namespace = ModuleSpec(name, None, is_package=True)
    namespace.submodule_search_locations = [
        folder for spec in found for folder in spec.submodule_search_locations or ()
    ]
    return namespace


def spec_of(name: str) -> ModuleSpec | None:
    """Returns the spec of a loaded module; None if it is unknown, or the module is not loaded."""
    # An object in `sys.modules` may have a `__getattr__` that raises or returns anything.
    spec = getattr(sys.modules.get(name), "__dict__", {}).get("__spec__")
    return spec if isinstance(spec, ModuleSpec) else None


def imported_by(name: str, source: Source) -> list[str]:
    """Returns names of the modules that import statements may mean, with their packages first."""
    return list(_imported_by(name, source.is_package, source.content))


@lru_cache(maxsize=4096)
def _imported_by(name: str, is_package: bool, content: bytes) -> tuple[str, ...]:
    package = name if is_package else name.rpartition(".")[0]
    found: dict[str, None] = {}
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):  # it cannot be run
        return ()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.update(dict.fromkeys(with_parents(alias.name)))
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            found.update(dict.fromkeys(imported(base, [alias.name for alias in node.names], package)))
    return tuple(found)


def imported(base: str, names: Iterable[str], package: str) -> Iterator[str]:
    """Yields names of the modules that ``from base import names`` in a module of `package` may mean."""
    try:
        absolute = importlib.util.resolve_name(base, package or None) if base.startswith(".") else base
    except ImportError:  # a relative import outside of a package
        return
    yield from with_parents(absolute)
    yield from (f"{absolute}.{name}" for name in names if name.isidentifier())


def with_parents(name: str) -> list[str]:
    """Returns the packages of a module, outermost first, and the module."""
    parts = name.split(".")
    return [".".join(parts[: n + 1]) for n in range(len(parts))]


def _add(found: dict[str, Source], name: str, spec: ModuleSpec | None) -> bool:
    file: Any = None if spec is None else spec.origin
    if spec is None or not isinstance(file, str) or not file.endswith(".py") or not is_own_file(file):
        return False
    try:
        content = _content(file)
    except OSError:
        return False
    found[name] = Source(file, spec.submodule_search_locations is not None, content)
    return True


def version_of(file: str) -> tuple[int, int, int]:
    """Returns the times of change of content and inode, in nanoseconds, and the size; `touch` cannot reset the second.

    Raises:
        OSError: the file does not exist, or cannot be read.
    """
    found = os.stat(file)  # noqa: PTH116 - an objective may break pathlib
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size


def _content(file: str) -> bytes:
    version = version_of(file)
    known = _read.get(file)
    if known is not None and known[0] == version:
        return known[1]
    content = Path(file).read_bytes()
    if time.time_ns() - max(version[:2]) > _DISTINCT_NS:
        _read[file] = version, content
    return content


CONSTRUCTORS = {"__new__", "__init__", "__post_init__", "__setstate__", "__init_subclass__", "__set_name__"}
"""Methods that set the initial state of an object; changes by others are working memory."""


def namespace_of(value: Any) -> Mapping[str, Any]:
    """Returns the globals of the module that defines a function or a class; empty if there is no such module."""
    if isinstance(value, types.FunctionType):
        return value.__globals__
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    return {} if module is None else vars(module)


def file_of(namespace: Mapping[str, Any]) -> str:
    """Returns the name of a module in messages: its file, with the folders of its packages."""
    file, name = namespace.get("__file__"), str(namespace.get("__name__", "__main__"))
    if not isinstance(file, str):
        return name
    path = Path(file)
    depth = name.count(".") + 1 + (path.stem == "__init__")
    return "/".join(path.parts[-depth:])


def function_in(attribute: Any) -> types.FunctionType | None:
    """Returns the function behind an attribute of a class; None if there is none."""
    if isinstance(attribute, (staticmethod, classmethod)):
        attribute = attribute.__func__
    elif isinstance(attribute, functools.cached_property):
        attribute = attribute.func
    return attribute if isinstance(attribute, types.FunctionType) else None


def is_counted(owner: type, attribute: str) -> bool:
    """Returns whether an attribute is part of the state of an object, and not the value of a `cached_property`."""
    found = next((vars(base)[attribute] for base in owner.__mro__ if attribute in vars(base)), None)
    return not isinstance(found, functools.cached_property)


def wrapped_by(value: Any) -> Any:
    """Returns the function that an object of an installed library wraps, such as a numba dispatcher; None if there is none."""
    kind = type(value)
    if is_own(namespace_of(kind)) or kind.__module__.partition(".")[0] == "rbt_ray":
        return None
    for name in ("py_func", "__wrapped__", "pyfunc", "func"):
        inner = inspect.getattr_static(value, name, None)
        if isinstance(inner, (types.FunctionType, type, functools.partial)):
            return inner
    return None


def is_library_function(value: Any) -> bool:
    """Returns whether it is a function of an installed library with its own type, such as a `numpy.ufunc`."""
    kind = type(value)
    if is_own(namespace_of(kind)) or kind.__module__.partition(".")[0] == "rbt_ray":
        return False
    return callable(value) and isinstance(
        inspect.getattr_static(value, "__name__", None), (str, types.GetSetDescriptorType)
    )
