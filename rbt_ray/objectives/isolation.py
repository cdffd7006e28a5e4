"""Isolates trials on one worker: each trial finds the process state that the first one found.

Restored after each trial: environment variables, the time zone, the working directory, `sys.path` and warning filters.
The error handling of numpy and the context of `decimal` are restored too, since each trial runs in a copy of the context.
For objectives that do not use `data.rng`, `random` and `numpy.random` are seeded by trial. Module `interpreter` restores
modules and the settings of the process.
"""

from __future__ import annotations

import os
import random
import sys
import time
import warnings
from contextlib import suppress
from os import _exit
from typing import Any

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
