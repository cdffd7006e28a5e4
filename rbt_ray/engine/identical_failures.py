"""Stops a study whose every trial fails with the same error at the same line: its objective is broken, not its configs.

The first trials may be a corner of the space whose configs rightly fail, as in a grid. So before it stops, the study evaluates
some configs drawn from the whole space, which are not recorded.
"""

from __future__ import annotations

import math

import numpy as np

from rbt_ray.engine.dispatcher import Dispatcher
from rbt_ray.errors import SpaceError
from rbt_ray.search.random_draws import RandomSearch
from rbt_ray.store.failures import FailureCause, cause_of
from rbt_ray.store.journal import Finished
from rbt_ray.study.study import Study
from rbt_ray.study.trials import mix64
from rbt_ray.types import FAILED

_LEAST = 20
_SHARE = 0.01
_N_DRAWN = 20
_FIRST = 2**49
"""The number of the first config that is drawn: larger than any of a search or an audit set."""


class IdenticalFailures:
    """Follows the trials of a study until one completes, or fails in another way.

    Args:
        study: the study's definition.
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        planned = study.n_planned or study.num_samples or 0
        self._least = max(_LEAST, math.ceil(_SHARE * planned))
        self._is_possible = not 0 < planned <= _LEAST + _N_DRAWN  # a study so short runs to its end
        self._first: FailureCause | None = None
        self._n_drawn = self._n_drawn_left = 0

    @property
    def note(self) -> str:
        """Why to stop the study, as a sentence; "" while there is no reason."""
        if not (self._is_possible and self._n_drawn and not self._n_drawn_left) or self._first is None:
            return ""
        return (
            f"the study stopped, because all of its {self._first.n:,} trials failed in the same way, and so did "
            f"{self._n_drawn} configs drawn from the whole space: {self._first}. To run all trials nevertheless, set "
            f"`stop_on_identical_failures=False`."
        )

    def add(self, finished: Finished) -> None:
        """Adds trials of the search, or drawn configs."""
        if not self._is_possible:
            return
        errors = finished.outcomes.errors
        if self._first is None and errors:
            self._first = FailureCause(0, next(iter(errors.values())))
        self._is_possible = self._first is not None and bool((finished.outcomes.status == FAILED).all())
        if self._is_possible and self._first is not None:
            cause = cause_of(self._first.error)
            self._is_possible = all(cause_of(error) == cause for error in errors.values())
            if is_drawn(finished):
                self._n_drawn_left -= len(finished.trials)
            else:
                self._first.n += len(finished.trials)

    def draw(self, dispatcher: Dispatcher) -> None:
        """Sends configs drawn from the whole space, once enough trials have failed in the same way."""
        if not self._is_possible or self._n_drawn or self._first is None or self._first.n < self._least:
            return
        seed = int(mix64(self._study.seed, np.array([_FIRST]))[0])
        try:
            points = RandomSearch(self._study.space, limit=_N_DRAWN, seed=seed).ask(_N_DRAWN).points
        except SpaceError:  # no config satisfies the constraints
            self._is_possible = False
            return
        self._n_drawn = self._n_drawn_left = len(points)
        dispatcher.add_first(_FIRST + np.arange(len(points), dtype=np.int64), points)


def is_drawn(finished: Finished) -> bool:
    """Returns whether these are configs that `IdenticalFailures.draw` sent, which are no trials of the study."""
    return bool(finished.trials[0] >= _FIRST)
