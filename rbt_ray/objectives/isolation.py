"""Isolates trials on one worker: each trial finds the process state that the first one found.

Restored after each trial: environment variables, the time zone, the working directory, `sys.path` and warning filters.
The error handling of numpy and the context of `decimal` are restored too, since each trial runs in a copy of the context.
For objectives that do not use `data.rng`, `random` and `numpy.random` are seeded by trial. Module `interpreter` restores
modules and, by `ProcessSettings`, what else a trial may leave behind: signals, timers, the umask and a few of Python's own
settings.
"""

from __future__ import annotations

import decimal
import gc
import os
import random
import signal
import socket
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from os import _exit
from typing import Any, TypeAlias

import numpy as np

_tzset = getattr(time, "tzset", None)  # Windows has none; by name, as an objective may replace it
_n_forks = 0
"""Number of forks that led to this process."""


def _count_fork() -> None:
    global _n_forks
    _n_forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)


class ProcessState:
    """The process state when this is created, to restore after each trial; a comparison takes a microsecond."""

    __slots__ = ("_filters", "_folder", "_n_forks", "_paths", "_variables")

    def __init__(self) -> None:
        self._n_forks = _n_forks
        # Copying and comparing `os.environ` itself is a hundred times slower.
        self._variables = dict(_variables())
        self._folder = working_folder()
        self._paths = list(sys.path)
        self._filters = list(warnings.filters)

    def restore(self) -> None:
        """Restores the state. Ends the process if the trial forked it, since both processes return from the trial."""
        if self._n_forks != _n_forks:
            _exit(0)
        if _variables() != self._variables:
            os.environ.clear()
            for name, value in self._variables.items():
                os.environ[os.fsdecode(name)] = os.fsdecode(value)
            apply_time_zone()
        if working_folder() != self._folder and self._folder is not None:
            with suppress(OSError):  # the folder was deleted
                os.chdir(self._folder)
        if sys.path != self._paths:
            sys.path[:] = self._paths
        if warnings.filters != self._filters:
            filters: Any = warnings.filters
            filters[:] = self._filters
            warnings._filters_mutated()  # type: ignore[attr-defined]


class GlobalRandomness:
    """The global random states of `random` and numpy, seeded for each trial of an objective that uses them.

    Seeding takes as long as a short trial, and few objectives use these states. So only the first trial of a batch is
    seeded and checked, until the objective is found to draw numbers.
    """

    __slots__ = ("_first", "_seed", "is_used")

    def __init__(self) -> None:
        self.is_used = False
        self._seed = 0
        self._first = 0.0, 0.0

    def seed(self, seed: int) -> None:
        """Seeds both states for a trial, so that `look` can detect whether the objective draws from them."""
        _seed_both(seed)
        if not self.is_used:
            self._seed, self._first = seed, _draw()
            _seed_both(seed)

    def look(self) -> bool:
        """Returns whether numbers were drawn since the last `seed`; if not, leaves the states unchanged.

        If any were drawn, the next numbers differ from the first ones after the seed. Comparing whole states takes twenty
        times as long.
        """
        if not self.is_used:
            self.is_used = _draw() != self._first
            _seed_both(self._seed)
        return self.is_used


def _seed_both(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - objectives use this state


def _draw() -> tuple[float, float]:
    return random.random(), np.random.random_sample()  # noqa: NPY002


def apply_time_zone() -> None:
    """Makes the C library use the time zone that the environment variable ``TZ`` names now."""
    if _tzset is not None:
        _tzset()


def _variables() -> Any:
    return getattr(os.environ, "_data", os.environ)


def working_folder() -> str | None:
    """Returns the working directory; None if it was deleted."""
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:
        return None


try:  # the functions of `signal` make an enum of every number, at ten times the cost
    from _signal import getsignal, pthread_sigmask, valid_signals  # type: ignore[import-not-found]
except ImportError:  # Windows has no signal masks
    from signal import getsignal, valid_signals

    pthread_sigmask: Any = None  # type: ignore[no-redef]

_SIGNALS = sorted(
    int(number)
    for number in valid_signals()
    if number not in (getattr(signal, "SIGKILL", None), getattr(signal, "SIGSTOP", None))
)
_TIMERS = [getattr(signal, name) for name in ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF") if hasattr(signal, name)]
_Setting: TypeAlias = tuple[Callable[[], Any], Callable[[Any], Any]]
"""The functions that read and set a setting."""
_PYTHON: tuple[_Setting, ...] = (
    (sys.get_int_max_str_digits, sys.set_int_max_str_digits),
    (socket.getdefaulttimeout, socket.setdefaulttimeout),
    (sys.getswitchinterval, sys.setswitchinterval),
    (gc.get_threshold, lambda values: gc.set_threshold(*values)),
)
_N_FOR_RESULTS = 2
"""The first two can change results; the others change only the speed."""


class ProcessSettings:
    """The settings when this is created, which `repair` restores."""

    __slots__ = ("_blocked", "_decimals", "_decimals_before", "_handlers", "_python", "_umask")

    def __init__(self) -> None:
        self._handlers = _handlers()
        self._blocked = _blocked()
        self._umask = umask()
        # A trial runs in a copy of the thread's context variables, whose decimal context is the same object.
        self._decimals = decimal.getcontext()
        self._decimals_before = _settings_of(self._decimals)
        self._python = [read() for read, _ in _PYTHON]

    def repair(self) -> bool:
        """Restores the settings and returns whether any had changed; takes microseconds if none has."""
        changed = False
        for timer in _TIMERS:
            if signal.setitimer(timer, 0) != (0.0, 0.0):
                changed = True
        blocked = _blocked()
        if blocked != self._blocked:
            for number in signal.sigpending():
                signal.signal(number, signal.SIG_IGN)  # discards it: once unblocked, it could end the process
        if _differ(_handlers(), self._handlers):
            for number, handler in zip(_SIGNALS, self._handlers, strict=True):
                if getsignal(number) is not handler:
                    # A handler that Python did not install is None here, and Python cannot install it again.
                    with suppress(ValueError, OSError):
                        signal.signal(number, signal.SIG_DFL if handler is None else handler)
            changed = True
        if blocked != self._blocked:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._blocked)
            changed = True
        if os.umask(self._umask) != self._umask:  # one call, so that no thread sees a third umask
            changed = True
        if _settings_of(self._decimals) != self._decimals_before:
            _restore_decimals(self._decimals, self._decimals_before)
            changed = True
        python = [read() for read, _ in _PYTHON]
        if python != self._python:
            for (_, set_to), value in zip(_PYTHON, self._python, strict=True):
                set_to(value)
            changed |= python[:_N_FOR_RESULTS] != self._python[:_N_FOR_RESULTS]
        return changed


def open_stdin() -> None:
    """Opens descriptor 0 if it is closed: otherwise the next file that a trial opens becomes its standard input."""
    try:
        os.fstat(0)
    except OSError:
        os.open(os.devnull, os.O_RDONLY)  # the lowest free descriptor is 0


def umask() -> int:
    """Returns the umask of this process.

    A system call can only return it by setting another, which files of other threads would then get. Linux also writes
    it to a file.
    """
    with suppress(OSError), open("/proc/self/status", "rb", buffering=0) as status:  # noqa: PTH123 - in each new worker
        _, found_line, rest = status.read(4096).partition(b"\nUmask:")
        if found_line:
            return int(rest.partition(b"\n")[0], 8)
    found = os.umask(0o077)
    os.umask(found)
    return found


def limits() -> dict[int, tuple[int, int]]:
    """Returns the soft and the hard limit of each resource that a trial may change; empty on Windows."""
    try:
        import resource
    except ImportError:  # no POSIX
        return {}
    kinds = (
        resource.RLIMIT_NOFILE,
        resource.RLIMIT_AS,
        resource.RLIMIT_DATA,
        resource.RLIMIT_FSIZE,
        resource.RLIMIT_CPU,
    )
    return {kind: resource.getrlimit(kind) for kind in kinds}


def _handlers() -> tuple[Any, ...]:
    return tuple(map(getsignal, _SIGNALS))


def _blocked() -> set[int]:
    return set() if pthread_sigmask is None else pthread_sigmask(signal.SIG_BLOCK, ())


def _settings_of(context: decimal.Context) -> list[Any]:
    """Precision, rounding, exponents, capitals, clamp and traps; not the flags, which every calculation may set."""
    _, (*settings, _flags, traps) = context.__reduce__()  # one call in place of seven
    return [*settings, traps]


def _restore_decimals(context: decimal.Context, settings: list[Any]) -> None:
    *numbers, traps = settings
    for name, value in zip(("prec", "rounding", "Emin", "Emax", "capitals", "clamp"), numbers, strict=True):
        setattr(context, name, value)
    context.clear_traps()
    for kind in traps:
        context.traps[kind] = True


def _differ(now: tuple[Any, ...], before: tuple[Any, ...]) -> bool:
    try:
        return now != before  # items are compared by identity first
    except BaseException:  # a handler may be any callable, whose own comparison may raise
        return True
