"""Restores the interpreter after a trial that changed it, for the next trial on the same worker.

Restored: the public names of the modules below, `sys.modules`, the import system, trace and profile functions, standard
streams, the locale, the time zone, soft resource limits, a lowered recursion limit, and the settings in
`process_settings`. Not restored: attributes of classes and of other modules.
"""

from __future__ import annotations

import builtins
import gc
import locale
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from operator import itemgetter
from types import ModuleType, TracebackType
from typing import Any, ParamSpec, TypeAlias, TypeVar

from rbt_ray.objectives.isolation import apply_time_zone
from rbt_ray.objectives.process_settings import ProcessSettings, limits, open_stdin

_Names: TypeAlias = tuple[dict[str, Any], Callable[[dict[str, Any]], tuple[Any, ...]], tuple[Any, ...], dict[str, Any]]
"""The namespace of a module, a getter of its watched names, their values, and a dict of both."""

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

_BaseException = BaseException  # a trial may have replaced names in `builtins`


class Interpreter:
    """The interpreter state when this is created, which `repair` restores; `was_damaged` is set if it ever differed."""

    __slots__ = (
        "_imports",
        "_limits",
        "_locale",
        "_modules",
        "_names",
        "_process",
        "_recursion",
        "_streams",
        "_trace",
        "was_damaged",
    )

    def __init__(self) -> None:
        self.was_damaged = False
        self._modules = dict(sys.modules)
        self._names = watched_names(len(self._modules))
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
        for namespace, present, values, names in self._names:  # builtins first: the rest needs them
            try:
                same = present(namespace) == values  # tuples compare their items by identity first
            except _BaseException:  # a name was deleted, or its new value cannot be compared
                same = False
            if not same:
                namespace.update(names)
                changed = True
        if changed:
            apply_time_zone()  # a replaced `time.tzname` means that the zone changed
        changed = any([self._repair_imports(), self._repair_settings(), self._repair_process(), changed])
        self.was_damaged |= changed
        return changed

    def _repair_imports(self) -> bool:
        changed = len(sys.modules) < len(self._modules)
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


@lru_cache(maxsize=1)
def watched_names(_n_modules: int) -> list[_Names]:
    """Returns the public names of the watched modules; cached until more modules are loaded."""
    watched = [builtins, *(sys.modules[name] for name in _MODULES if name in sys.modules)]
    public = [(vars(module), _public(module)) for module in watched]
    return [(space, itemgetter(*names), tuple(names.values()), names) for space, names in public]


def _public(module: ModuleType) -> dict[str, Any]:
    """Returns the public names of a module, without its constants, of which some modules have hundreds."""
    return {
        name: value
        for name, value in vars(module).items()
        if not isinstance(value, int | str | bytes)
        and (not name.startswith("_") or (module is builtins and name != "_"))
    }


def _soft_limits() -> dict[int, int]:
    return {kind: soft for kind, (soft, _) in limits().items()}
