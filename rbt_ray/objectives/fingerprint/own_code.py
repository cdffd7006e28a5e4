"""Which modules, functions and classes are the user's own: those outside the standard library, site-packages and rbt_ray."""

from __future__ import annotations

import ast
import functools
import importlib.util
import inspect
import os
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
"""A file that is older than this has another time once it is written again."""
_read: dict[str, tuple[tuple[int, int, int], bytes]] = {}
"""Times of change, size and content of the files that were read."""


@dataclass(frozen=True, slots=True)
class Source:
    """A module's source.

    Args:
        file: where it was read from.
        is_package: whether the module is a package.
        content: the bytes of the file.
    """

    file: str
    is_package: bool
    content: bytes


@lru_cache(maxsize=4096)
def is_own_file(file: str) -> bool:
    """Whether a module of this file is the user's own."""
    installed = file.startswith(_INSTALLED) or not _PACKAGE_FOLDERS.isdisjoint(Path(file).parts)
    return not installed and not file.startswith("<frozen")


def is_own(namespace: Mapping[str, Any]) -> bool:
    """Whether a module with these globals is the user's own, as is what was typed at a prompt."""
    if isinstance(file := namespace.get("__file__"), str):
        return is_own_file(file)
    return getattr(namespace.get("__spec__"), "origin", None) not in ("built-in", "frozen")


def own_sources(names: Iterable[str] = ()) -> dict[str, Source]:
    """The sources of the user's own modules, by module name.

    They are the modules that this process has loaded, those of `names`, and those that any of these import, also within
    functions that have not run yet. No module is imported for it. `__main__` is left out.
    """
    found: dict[str, Source] = {}
    for name in list(sys.modules):
        spec = spec_of(name)
        if name not in ("__main__", "__mp_main__") and spec is not None and spec.name == name:
            _add(found, name, spec)
    _follow(found, [*names, *(other for name in found for other in imported_by(name, found[name]))], source_of)
    return found


def closure(names: Iterable[str], sources: Mapping[str, Source] | None = None) -> dict[str, Source]:
    """Those of the named modules that are the user's own, with the own modules that they import, and so on.

    Args:
        names: where to begin.
        sources: all own modules; None: they are read from their files.
    """
    found: dict[str, Source] = {}
    _follow(found, list(names), source_of if sources is None else sources.get)
    return found


def _follow(found: dict[str, Source], waiting: list[str], look_up: Callable[[str], Source | None]) -> None:
    """Adds the own modules among those that wait, with the own modules that they import, and so on."""
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
    """The source of one of the user's own modules, loaded or not; None for any other module."""
    found: dict[str, Source] = {}
    _add(found, name, find_spec(name))
    return found.get(name)


def find_spec(name: str) -> ModuleSpec | None:
    """Where a module is, without importing the packages that hold it; None where there is none."""
    if sys.modules.get(name) is not None:
        return spec_of(name)
    parent, _, _ = name.rpartition(".")
    path = None
    if parent:
        holder = find_spec(parent)
        if holder is None or holder.submodule_search_locations is None:
            return None
        path = list(holder.submodule_search_locations)
    try:
        return PathFinder.find_spec(name, path)
    except (ImportError, ValueError):
        return None


def spec_of(name: str) -> ModuleSpec | None:
    """What a loaded module was imported by; None where that is not known, or the module is not loaded."""
    # What stands for a module may have a `__getattr__` that raises, or that makes up any attribute.
    spec = getattr(sys.modules.get(name), "__dict__", {}).get("__spec__")
    return spec if isinstance(spec, ModuleSpec) else None


def imported_by(name: str, source: Source) -> list[str]:
    """Names of the modules that a module's import statements may mean, the packages that hold them first."""
    return list(_imported_by(name, source.is_package, source.content))


@lru_cache(maxsize=4096)
def _imported_by(name: str, is_package: bool, content: bytes) -> tuple[str, ...]:
    package = name if is_package else name.rpartition(".")[0]
    found: dict[str, None] = {}
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):  # nothing in it can be run
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
    """Names of the modules that ``from base import names`` in a module of `package` may mean."""
    try:
        absolute = importlib.util.resolve_name(base, package or None) if base.startswith(".") else base
    except ImportError:  # a relative import outside of a package
        return
    yield from with_parents(absolute)
    yield from (f"{absolute}.{name}" for name in names if name.isidentifier())


def with_parents(name: str) -> list[str]:
    """The packages that hold a module, from the outermost on, and the module."""
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
    """When content and inode were changed, in nanoseconds, and the size. The second cannot be set back by `touch`.

    Raises:
        OSError: there is no such file, or it cannot be looked at.
    """
    found = os.stat(file)  # noqa: PTH116 - an objective may break the classes of pathlib
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
"""Methods that give an object its state; what others change is working memory."""


def namespace_of(value: Any) -> Mapping[str, Any]:
    """The globals of the module that defines a function or a class; an empty mapping where there is no such module."""
    if isinstance(value, types.FunctionType):
        return value.__globals__
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    return {} if module is None else vars(module)


def file_of(namespace: Mapping[str, Any]) -> str:
    """How messages name a module: its file, with the folders of its packages."""
    file, name = namespace.get("__file__"), str(namespace.get("__name__", "__main__"))
    if not isinstance(file, str):
        return name
    path = Path(file)
    depth = name.count(".") + 1 + (path.stem == "__init__")
    return "/".join(path.parts[-depth:])


def function_in(attribute: Any) -> types.FunctionType | None:
    """The function behind a class's attribute; None where that is something else."""
    if isinstance(attribute, (staticmethod, classmethod)):
        attribute = attribute.__func__
    elif isinstance(attribute, functools.cached_property):
        attribute = attribute.func
    return attribute if isinstance(attribute, types.FunctionType) else None


def is_counted(owner: type, attribute: str) -> bool:
    """Whether an attribute is part of an object's state, and not what a `cached_property` keeps."""
    found = next((vars(base)[attribute] for base in owner.__mro__ if attribute in vars(base)), None)
    return not isinstance(found, functools.cached_property)


def wrapped_by(value: Any) -> Any:
    """The function that an object of an installed library wraps, such as a numba dispatcher; None where there is none."""
    kind = type(value)
    if is_own(namespace_of(kind)) or kind.__module__.partition(".")[0] == "rbt_ray":
        return None
    for name in ("py_func", "__wrapped__", "pyfunc", "func"):
        inner = inspect.getattr_static(value, name, None)
        if isinstance(inner, (types.FunctionType, type, functools.partial)):
            return inner
    return None


def is_library_function(value: Any) -> bool:
    """Whether it is a function of an installed library in an object of its own kind, such as a `numpy.ufunc`."""
    kind = type(value)
    if is_own(namespace_of(kind)) or kind.__module__.partition(".")[0] == "rbt_ray":
        return False
    return callable(value) and isinstance(
        inspect.getattr_static(value, "__name__", None), (str, types.GetSetDescriptorType)
    )
