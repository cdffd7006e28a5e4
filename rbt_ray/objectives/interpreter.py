"""Restores the interpreter after a trial that changed it, for the next trial on the same worker.

Restored: the public names of the modules below and the attributes of their public classes (not of numpy's and pandas'
classes), `sys.modules`, the import system, trace and profile functions, standard streams, the locale, the time zone, soft
resource limits, a lowered recursion limit, and the settings in `process_settings`. Not restored: other modules and classes.
"""

from __future__ import annotations

import builtins
import ctypes
import gc
import locale
import sys
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from operator import itemgetter
from types import ModuleType, TracebackType
from typing import Any, ParamSpec, TypeVar

from rbt_ray.objectives.isolation import ProcessSettings, apply_time_zone, limits, open_stdin

_OFFSET = object.__basicsize__ + ctypes.sizeof(ctypes.c_ssize_t)
P = ParamSpec("P")
T = TypeVar("T")
_LIBRARIES = ("cloudpickle", "numpy", "numpy.random", "numpy.linalg", "numpy.fft", "pandas")
_MODULES = (
    *(
        "os",
        "io",
        "time",
        "math",
        "cmath",
        "random",
        "json",
        "pickle",
        "struct",
        "copy",
        "threading",
        "signal",
        "traceback",
    ),
    *("itertools", "functools", "operator", "collections", "datetime", "decimal", "fractions", "statistics", "bisect"),
    *("heapq", "re", "contextlib", "contextvars", "warnings", "locale", "gc", "zlib", "pathlib"),
    *_LIBRARIES,
)
_IMMUTABLE_TYPE, _HEAP_TYPE = 1 << 8, 1 << 9  # Py_TPFLAGS_IMMUTABLETYPE, Py_TPFLAGS_HEAPTYPE
_STREAMS = ("stdin", "stdout", "stderr")
_BaseException = BaseException  # a trial may have replaced names in `builtins`
_watched: dict[str, _Names] = {}
_loaded: dict[str, ModuleType] = {}
_last: str | None = None
"""The module loaded last: `sys.modules` is in the order of loading."""


def version_reader(of: dict[str, Any]) -> Callable[[], int | None]:
    """Returns what reads the version of a dict, which changes whenever the dict is modified; None where Python keeps none.

    CPython 3.6 to 3.13 keep it in every dict, behind reference count, type and length (PEP 509). Comparing the names of a
    module takes longer, and writes a reference count to each value's page: a forked worker then has its own copies of the
    pages that it shared with the others. The dict must outlive the reader.
    """
    if not _IS_KEPT:
        return _no_version
    number = ctypes.c_uint64.from_address(id(of) + _OFFSET)
    return lambda: number.value


def _no_version() -> None:
    return None


def _is_kept() -> bool:
    """Whether the number at this place of a dict changes with each kind of modification, and only then."""
    if sys.implementation.name != "cpython":
        return False
    probe: dict[str, Any] = {"kept": 1, "replaced": 2, "deleted": 3}
    number = ctypes.c_uint64.from_address(id(probe) + _OFFSET)
    seen = [number.value]
    for change in (
        lambda: probe.__setitem__("replaced", 4),
        lambda: probe.update(kept=5),
        lambda: probe.pop("deleted"),
        lambda: probe.setdefault("added", 6),
    ):
        (probe["kept"], probe.get("absent"), list(probe.values()), dict(probe))
        if number.value != seen[-1]:
            return False
        change()
        seen.append(number.value)
    return len(set(seen)) == len(seen)


_IS_KEPT = _is_kept()


class _Watched:
    """A dict and its version when this is created or was last repaired."""

    __slots__ = ("_namespace", "_read_version", "_version")

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._namespace = namespace
        self._read_version = version_reader(namespace)
        self._version = self._read_version()

    def is_unmodified(self) -> bool:
        """Returns whether the dict is certain to be as it was."""
        return self._version is not None and self._read_version() == self._version


class _Names(_Watched):
    """The public names of a module as they are when this is made, and its classes whose attributes are watched.

    Args:
        module: it.
    """

    __slots__ = ("_look_up", "_names", "_values", "classes")

    def __init__(self, module: ModuleType) -> None:
        super().__init__(vars(module))
        self._names = _public(module)
        self._look_up: Callable[[dict[str, Any]], tuple[Any, ...]] = itemgetter(*self._names)
        self._values = tuple(self._names.values())
        self.classes = [] if module.__name__ in _LIBRARIES else [_ClassAttributes(kind) for kind in _classes(module)]

    def are_current(self, module: ModuleType) -> bool:
        """Whether these are certain to be the names of this module now."""
        return vars(module) is self._namespace and self.is_unmodified()

    def renew_classes(self) -> None:
        """Reads the attributes of those classes again that have been modified since they were read."""
        for position, attributes in enumerate(self.classes):
            if not attributes.is_unmodified():
                self.classes[position] = _ClassAttributes(attributes.kind)

    def repair(self) -> bool:
        """Puts the names back and returns whether any had changed."""
        if self.is_unmodified():
            return False
        try:
            same = self._look_up(self._namespace) == self._values  # tuples compare their items by identity first
        except _BaseException:  # a name is gone, or what took its place cannot be compared
            same = False
        if not same:
            self._namespace.update(self._names)
        self._version = self._read_version()
        return not same


class _ClassAttributes(_Watched):
    """The attributes of a class as they are when this is created.

    Args:
        kind: a class written in Python.
    """

    __slots__ = ("_values", "kind")

    def __init__(self, kind: type) -> None:
        super().__init__(*gc.get_referents(vars(kind)))  # the dict behind the mapping proxy
        self.kind = kind
        self._values = dict(self._namespace)

    def repair(self) -> bool:
        """Restores the attributes and returns whether any had changed; keeps those that a library added."""
        if self.is_unmodified():
            return False
        changed = False
        for name, value in [*self._namespace.items()]:
            if name not in self._values and any(name in vars(base) for base in self.kind.__mro__[1:]):
                type.__delattr__(self.kind, name)  # it hid an inherited attribute
                changed = True
            elif self._values.get(name, value) is not value:
                type.__setattr__(self.kind, name, self._values[name])
                changed = True
        for name in self._values.keys() - self._namespace.keys():
            type.__setattr__(self.kind, name, self._values[name])
            changed = True
        self._version = self._read_version()
        return changed


class Interpreter:
    """The interpreter state at creation, which `repair` restores; `was_damaged` is set if it ever differed."""

    __slots__ = (
        "_classes",
        "_imports",
        "_limits",
        "_locale",
        "_modules",
        "_n_modules",
        "_names",
        "_process",
        "_recursion",
        "_streams",
        "_trace",
        "was_damaged",
    )

    def __init__(self) -> None:
        self.was_damaged = False
        self._modules = loaded_modules()
        self._n_modules = len(sys.modules)
        self._names = watched_names()
        self._classes = [attributes for names in self._names for attributes in names.classes]
        self._imports: list[tuple[list[Any], list[Any]]] = [
            (found, list(found)) for found in (sys.meta_path, sys.path_hooks)
        ]
        self._recursion = sys.getrecursionlimit()
        self._trace = sys.gettrace(), sys.getprofile()
        self._streams = [getattr(sys, name) for name in _STREAMS]
        self._locale = locale.setlocale(locale.LC_ALL)
        self._limits = _soft_limits()
        self._process = ProcessSettings()

    def repairing(self, function: Callable[P, T]) -> Callable[P, T]:
        """Returns the function with a repair after each call, whether it returns or raises."""

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return function(*args, **kwargs)
            finally:
                self.repair()

        return call

    def repair(self) -> bool:
        """Restores the state and returns whether anything had changed. Takes ten microseconds if nothing has."""
        changed = False
        for names in self._names:  # builtins come first: the rest needs them
            if names.repair():
                changed = True
        for attributes in self._classes:
            if attributes.repair():
                changed = True
        if changed:
            apply_time_zone()  # a replaced `time.tzname` means that the zone changed
        changed = any([self._repair_imports(), self._repair_settings(), self._repair_process(), changed])
        self.was_damaged |= changed
        return changed

    def _repair_imports(self) -> bool:
        changed = len(sys.modules) < self._n_modules
        for found, before in self._imports:
            if found != before:
                found[:] = before
                changed = True
        if changed:
            sys.modules.update(self._modules)
        return changed

    def _repair_settings(self) -> bool:
        changed = False
        if (sys.gettrace(), sys.getprofile()) != self._trace:
            sys.settrace(self._trace[0])
            sys.setprofile(self._trace[1])
            changed = True
        if sys.getrecursionlimit() < self._recursion:
            sys.setrecursionlimit(self._recursion)
            changed = True
        if [getattr(sys, name, None) for name in _STREAMS] != self._streams:
            for name, stream in zip(_STREAMS, self._streams, strict=True):
                setattr(sys, name, stream)
            open_stdin()
            changed = True
        gc.enable()  # has no effect on results
        return changed

    def _repair_process(self) -> bool:
        changed = self._process.repair()
        if locale.setlocale(locale.LC_ALL) != self._locale:
            locale.setlocale(locale.LC_ALL, self._locale)
            changed = True
        if (found := _soft_limits()) != self._limits:
            import resource

            for kind, soft in self._limits.items():
                with suppress(ValueError, OSError):  # the hard limit was lowered: the process has to be replaced
                    resource.setrlimit(kind, (soft, resource.getrlimit(kind)[1]))
            changed |= found != _soft_limits()
        return changed


def objective_frames(error: BaseException) -> TracebackType | None:
    """Returns the traceback without the frames of the evaluator and of `Interpreter.repairing`."""
    frames = error.__traceback__.tb_next if error.__traceback__ is not None else None
    return frames.tb_next if frames is not None and frames.tb_frame.f_code.co_filename == __file__ else frames


def watched_names() -> list[_Names]:
    """The names and classes of the modules that are watched; those that have not changed since the last call are not read.

    A forked worker reads almost none: a reference to each would give it its own copy of the pages that it shares.
    """
    for module in (builtins, *(sys.modules[name] for name in _MODULES if name in sys.modules)):
        known = _watched.get(module.__name__)
        if known is None or not known.are_current(module):
            _watched[module.__name__] = _Names(module)
        else:
            known.renew_classes()
    return list(_watched.values())


def _classes(module: ModuleType) -> list[type]:
    """Returns the public classes of a module or its package that are written in Python, without its exceptions."""
    found = {
        kind: None  # some have two names
        for name, kind in vars(module).items()
        if isinstance(kind, type)
        and not name.startswith("_")
        and kind.__module__.partition(".")[0] == module.__name__
        and kind.__flags__ & (_HEAP_TYPE | _IMMUTABLE_TYPE) == _HEAP_TYPE
        and not issubclass(kind, BaseException | Enum)
    }
    return list(found)


def loaded_modules() -> dict[str, ModuleType]:
    """The modules that were loaded at any call of this; each call adds those that were loaded since the one before."""
    global _last
    newest = next(reversed(sys.modules))
    for name in imported_since(_last):
        _loaded[name] = sys.modules[name]
    _last = newest
    return _loaded


def imported_since(last: str | None) -> list[str]:
    """The names of modules that were imported after the module `last`; all names where that one is None or gone.

    The memory of modules that a process inherited is shared until something refers to them.
    """
    names: list[str] = []
    for name in reversed(sys.modules):
        if name == last:
            break
        names.append(name)
    return names


def _public(module: ModuleType) -> dict[str, Any]:
    """Returns the public names of a module. Omits its constants, since some modules have hundreds."""
    return {
        name: value
        for name, value in vars(module).items()
        if not isinstance(value, int | str | bytes)
        and (not name.startswith("_") or (module is builtins and name != "_"))
    }


def _soft_limits() -> dict[int, int]:
    return {kind: soft for kind, (soft, _) in limits().items()}
