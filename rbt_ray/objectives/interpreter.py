"""What trials on one worker share inside of the interpreter, and how it is put back after one that changed it.

Put back: the public names of the modules below, `sys.modules`, the import system, trace and profile functions, standard
streams, the locale, the time zone, soft resource limits, a recursion limit that was lowered, and what `process_settings`
lists. Not put back: what is changed inside of classes and of other modules.
"""

from __future__ import annotations

import builtins
import gc
import locale
import sys
from collections.abc import Callable
from contextlib import suppress
from operator import itemgetter
from types import ModuleType, TracebackType
from typing import Any, ParamSpec, TypeVar

from rbt_ray.objectives.ambient import apply_time_zone
from rbt_ray.objectives.dict_version import version_reader
from rbt_ray.objectives.process_settings import ProcessSettings, limits, open_stdin

P = ParamSpec("P")
T = TypeVar("T")

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
    *("heapq", "re", "contextlib", "contextvars", "warnings", "locale", "gc", "zlib", "cloudpickle"),
    *("numpy", "numpy.random", "numpy.linalg", "numpy.fft", "pandas"),
)
_STREAMS = ("stdin", "stdout", "stderr")

_BaseException = BaseException  # until `builtins` is put back, nothing of it can be relied on


class _Names:
    """The public names of a module as they are when this is made.

    Args:
        module: it.
    """

    __slots__ = ("_look_up", "_names", "_namespace", "_read_version", "_values", "_version")

    def __init__(self, module: ModuleType) -> None:
        self._namespace = vars(module)
        self._read_version = version_reader(self._namespace)
        self._version = self._read_version()
        self._names = _public(module)
        self._look_up: Callable[[dict[str, Any]], tuple[Any, ...]] = itemgetter(*self._names)
        self._values = tuple(self._names.values())

    def are_current(self, module: ModuleType) -> bool:
        """Whether these are certain to be the names of this module now."""
        return vars(module) is self._namespace and self._is_unmodified()

    def _is_unmodified(self) -> bool:
        return self._version is not None and self._read_version() == self._version

    def repair(self) -> bool:
        """Puts the names back and returns whether any had changed."""
        if self._is_unmodified():
            return False
        try:
            same = self._look_up(self._namespace) == self._values  # tuples compare their items by identity first
        except _BaseException:  # a name is gone, or what took its place cannot be compared
            same = False
        if not same:
            self._namespace.update(self._names)
        self._version = self._read_version()
        return not same


class Interpreter:
    """The interpreter as it is when this is made, which `repair` goes back to; `was_damaged` once there was a need to."""

    __slots__ = (
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
        """The function, with a repair after each call of it, whether it returns or raises."""

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return function(*args, **kwargs)
            finally:
                self.repair()

        return call

    def repair(self) -> bool:
        """Puts back what has changed; whether anything had. Takes some ten microseconds where nothing has."""
        changed = False
        for names in self._names:  # builtins come first: the rest needs them
            if names.repair():
                changed = True
        if changed:
            apply_time_zone()  # `time.tzname` shows that it was changed
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
        gc.enable()  # no result follows from it
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
    """The traceback of what a scorer called, without the scorer's own frame and that of `Interpreter.repairing`."""
    frames = error.__traceback__.tb_next if error.__traceback__ is not None else None
    return frames.tb_next if frames is not None and frames.tb_frame.f_code.co_filename == __file__ else frames


def watched_names() -> list[_Names]:
    """The public names of the modules that are watched; those of a module that did not change are not read again."""
    for module in (builtins, *(sys.modules[name] for name in _MODULES if name in sys.modules)):
        known = _watched.get(module.__name__)
        if known is None or not known.are_current(module):
            _watched[module.__name__] = _Names(module)
    return list(_watched.values())


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


_watched: dict[str, _Names] = {}
_loaded: dict[str, ModuleType] = {}
_last: str | None = None
"""The module loaded last: `sys.modules` is in the order of loading."""


def _public(module: ModuleType) -> dict[str, Any]:
    """What a module is used for, without flags and other numbers, of which some modules have hundreds."""
    return {
        name: value
        for name, value in vars(module).items()
        if not isinstance(value, int | str | bytes)
        and (not name.startswith("_") or (module is builtins and name != "_"))
    }


def _soft_limits() -> dict[int, int]:
    return {kind: soft for kind, (soft, _) in limits().items()}
