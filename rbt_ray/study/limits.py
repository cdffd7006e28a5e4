"""When a search ends: its limits, and the stop rule, which ends it after trials without an improvement or at a target."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rbt_ray.errors import SettingError
from rbt_ray.types import Mode

_LEAST_OPEN = 32
_OPEN_SHARE = 8


@dataclass(frozen=True)
class Limits:
    """The limits of a search.

    Args:
        num_samples: how many new configs; None: all.
        max_cost: the maximum cost, in evaluations at full fidelity; None: no limit.
    """

    num_samples: int | None
    max_cost: float | None


def check_stop(stop: Any) -> dict[str, float] | None:
    """Returns a study's `stop`.

    Raises:
        SettingError: it is neither None nor a dict of "no_improvement", "target" or both, or has an invalid value.
    """
    if stop is None:
        return None
    if not isinstance(stop, Mapping) or not stop or not set(stop) <= {"no_improvement", "target"}:
        raise SettingError(
            f"`stop` is a dict such as {{'no_improvement': 200}}, {{'target': 3.0}} or both; got {stop!r}."
        )
    n = stop.get("no_improvement", 1)
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise SettingError(f"`no_improvement` of `stop` is a number of trials, 1 or more; got {n!r}.")
    target = stop.get("target", 0.0)
    if isinstance(target, bool) or not isinstance(target, (int, float)) or not math.isfinite(target):
        raise SettingError(f"`target` of `stop` is a finite value of the metric; got {target!r}.")
    return dict(stop)


def open_before_stop(n_told: int) -> int:
    """Returns how many trials of a search that does not learn may be open in a study with a `stop`.

    All of them run after the rule is met. The number depends on that of the results alone, so that the table does not depend
    on the workers.
    """
    return max(_LEAST_OPEN, n_told // _OPEN_SHARE)


class StopRule:
    """Follows the results of the trials at full fidelity, in trial order.

    Args:
        stop: the study's `stop`.
        metric: the name of the study's metric, for the note.
        mode: whether the metric is to be maximized or minimized.
    """

    def __init__(self, stop: Mapping[str, float], metric: str, mode: Mode) -> None:
        self._most = stop.get("no_improvement", math.inf)
        self._metric = metric
        self._sign = -1.0 if mode == "max" else 1.0
        target = stop.get("target")
        self._target = -math.inf if target is None else self._sign * target
        self._best, self._since = math.inf, 0
        self.note = ""
        """Why the search stopped, as a sentence; "" if it has not."""

    def add(self, loss: float) -> None:
        """Adds the loss of a trial at full fidelity; NaN if it did not complete or is infeasible."""
        if self.note:
            return
        self._since += 1
        if loss < self._best:
            self._best, self._since = loss, 0
        shown = f"{self._metric} {self._sign * self._best:.6g}"
        if self._best <= self._target:
            self.note = f"the search stopped: {shown} reaches the target {self._sign * self._target:.6g}."
        elif self._since >= self._most:
            best = "no trial completed" if math.isinf(self._best) else f"the best has {shown}"
            self.note = f"the search stopped: no improvement in {self._since:,} trials at full fidelity; {best}."
