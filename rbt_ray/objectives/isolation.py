"""What trials on one worker share without being told: each finds it as the first did, whatever ran before it.

Restored after each trial: environment variables and the time zone, the working directory, `sys.path` and warning
filters; and, since they live in its context, what numpy does about floating-point errors and the context of `decimal`.
The random numbers of `random` and `numpy.random`, for objectives that do not use `data.rng`, follow from the trial's
seed. `interpreter` restores what is changed inside of modules, and the settings of the process.
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

_tzset = getattr(time, "tzset", None)  # Windows has none; an objective can replace that of the module
_n_forks = 0
"""How often this process was forked from another."""


def _count_fork() -> None:
    global _n_forks
    _n_forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)


class ProcessState:
    """The state of the process as it is when this is made, to be restored after each trial; a look costs a microsecond."""

    __slots__ = ("_filters", "_folder", "_n_forks", "_paths", "_variables")

    def __init__(self) -> None:
        self._n_forks = _n_forks
        # Two of os.environ are copied and compared a hundred times as slowly as what is in them.
        self._variables = dict(_variables())
        self._folder = working_folder()
        self._paths = list(sys.path)
        self._filters = list(warnings.filters)

    def restore(self) -> None:
        """Puts back what has changed. A process that the trial forked, and that returned from it too, ends here."""
        if self._n_forks != _n_forks:
            _exit(0)
        if _variables() != self._variables:
            os.environ.clear()
            for name, value in self._variables.items():
                os.environ[os.fsdecode(name)] = os.fsdecode(value)
            apply_time_zone()
        if working_folder() != self._folder and self._folder is not None:
            with suppress(OSError):  # it is gone, and no trial can have it back
                os.chdir(self._folder)
        if sys.path != self._paths:
            sys.path[:] = self._paths
        if warnings.filters != self._filters:
            filters: Any = warnings.filters
            filters[:] = self._filters
            warnings._filters_mutated()  # type: ignore[attr-defined]


class GlobalRandomness:
    """The global random states of `random` and numpy, seeded for each trial of an objective that draws from them.

    Seeding takes as long as a short trial, and few objectives draw. So the first trial of a batch is seeded always, and
    looked at; the others only once the objective was seen to draw.
    """

    __slots__ = ("_first", "_seed", "is_used")

    def __init__(self) -> None:
        self.is_used = False
        self._seed = 0
        self._first = 0.0, 0.0

    def seed(self, seed: int) -> None:
        """Seeds both for a trial; until the objective is seen to draw, `look` can tell whether it did."""
        _seed_both(seed)
        if not self.is_used:
            self._seed, self._first = seed, _draw()
            _seed_both(seed)

    def look(self) -> bool:
        """Returns whether anything was drawn since the last `seed`; where nothing was, the states stay as they are.

        The next numbers differ from the first ones after the seed where any were drawn. Reading whole states to compare
        them takes twenty times as long.
        """
        if not self.is_used:
            self.is_used = _draw() != self._first
            _seed_both(self._seed)
        return self.is_used


def _seed_both(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - it is the objective's own


def _draw() -> tuple[float, float]:
    return random.random(), np.random.random_sample()  # noqa: NPY002


def apply_time_zone() -> None:
    """Makes the C library use the time zone that the environment variable ``TZ`` names now."""
    if _tzset is not None:
        _tzset()


def _variables() -> Any:
    return getattr(os.environ, "_data", os.environ)


def working_folder() -> str | None:
    """Returns the working directory; None where it does not exist any more."""
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:
        return None
