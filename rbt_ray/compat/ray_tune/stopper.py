"""Ray Tune's stoppers, and the stop criteria of a study."""

from __future__ import annotations

import copy
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import numpy as np

from rbt_ray.compat.ray_tune.trial import flatten
from rbt_ray.errors import SettingError, TuneError

__all__ = [
    "CombinedStopper",
    "ExperimentPlateauStopper",
    "FunctionStopper",
    "MaximumIterationStopper",
    "NoopStopper",
    "Stopper",
    "TimeoutStopper",
    "TrialPlateauStopper",
]


class Stopper:
    """Base class of stoppers, which end trials or the study.

    A worker calls a copy that gets the reports of one trial. The driver calls `stop_all` of a copy that gets the reports of
    all trials as they end.
    """

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Returns whether the trial ends with this report."""
        raise NotImplementedError

    def stop_all(self) -> bool:
        """Returns whether the study ends."""
        raise NotImplementedError


class NoopStopper(Stopper):
    """Ends nothing."""

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:  # noqa: ARG002  the protocol's
        """No."""
        return False

    def stop_all(self) -> bool:
        """No."""
        return False


class FunctionStopper(NoopStopper):
    """Ends a trial when a function of (trial_id, result) returns True."""

    def __init__(self, function: Callable[[str, Mapping[str, Any]], bool]) -> None:
        self._function = function

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Returns the function's result."""
        return bool(self._function(trial_id, result))


class MaximumIterationStopper(NoopStopper):
    """Ends a trial after `max_iter` reports."""

    def __init__(self, max_iter: int) -> None:
        self._max_iter = max_iter
        self._iter: dict[str, int] = defaultdict(int)

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:  # noqa: ARG002  the protocol's
        """Returns whether this is the last report."""
        self._iter[trial_id] += 1
        return self._iter[trial_id] >= self._max_iter


class TrialPlateauStopper(NoopStopper):
    """Ends a trial whose metric has reached a plateau.

    Args:
        metric: the metric.
        std: the standard deviation of the last `num_results` values below which the metric is on a plateau.
        num_results: how many values to compare.
        grace_period: reports before a trial may be ended.
        metric_threshold: a value that the metric must pass first; None: no threshold.
        mode: "min" or "max": the side of the threshold; required with one.

    Raises:
        SettingError: there is a threshold but no mode.
    """

    def __init__(
        self,
        metric: str,
        std: float = 0.01,
        num_results: int = 4,
        grace_period: int = 4,
        metric_threshold: float | None = None,
        mode: str | None = None,
    ) -> None:
        if metric_threshold is not None and mode not in ("min", "max"):
            raise SettingError(f"`mode` must be 'min' or 'max' with a `metric_threshold`; got {mode!r}.")
        self._metric, self._std, self._mode = metric, std, mode
        self._grace_period, self._threshold = grace_period, metric_threshold
        self._count: dict[str, int] = defaultdict(int)
        self._values: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=num_results))
        self._num_results = num_results

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Returns whether the metric is on a plateau."""
        value = float(result.get(self._metric, np.nan))
        values = self._values[trial_id]
        values.append(value)
        self._count[trial_id] += 1
        if self._count[trial_id] < self._grace_period or len(values) < self._num_results:
            return False
        if self._threshold is not None and (
            value > self._threshold if self._mode == "min" else value < self._threshold
        ):
            return False
        return bool(np.std(list(values)) < self._std)


class ExperimentPlateauStopper(Stopper):
    """Ends the study when the best values of a metric over all trials are close together.

    Args:
        metric: the metric.
        std: the standard deviation of the `top` best values below which they are close.
        top: how many values to compare, at least 2.
        mode: "min" or "max": which values are the best.
        patience: for how many reports they must stay close.

    Raises:
        SettingError: an argument has an invalid value.
    """

    def __init__(self, metric: str, std: float = 0.001, top: int = 10, mode: str = "min", patience: int = 0) -> None:
        if mode not in ("min", "max"):
            raise SettingError(f"`mode` must be 'min' or 'max'; got {mode!r}.")
        if not isinstance(top, int) or top <= 1:
            raise SettingError(f"`top` must be a whole number above 1; got {top!r}.")
        if not isinstance(patience, int) or patience < 0:
            raise SettingError(f"`patience` must be a whole number of 0 or more; got {patience!r}.")
        if not isinstance(std, (int, float)) or std <= 0:
            raise SettingError(f"`std` must be a number above 0; got {std!r}.")
        self._metric, self._std, self._top, self._patience = metric, std, top, patience
        self._sign = 1.0 if mode == "min" else -1.0
        self._best: list[float] = []
        self._at_rest = 0

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:  # noqa: ARG002  the protocol's
        """Returns whether the study ends with this report."""
        self._best = sorted([*self._best, self._sign * float(result[self._metric])])[: self._top]
        self._at_rest = self._at_rest + 1 if self._has_plateaued() else 0
        return self.stop_all()

    def stop_all(self) -> bool:
        """Returns whether the best values have been close for long enough."""
        return self._has_plateaued() and self._at_rest >= self._patience

    def _has_plateaued(self) -> bool:
        return len(self._best) == self._top and float(np.std(self._best)) <= self._std


class TimeoutStopper(NoopStopper):
    """Ends the study after some time, like `time_budget_s` of TuneConfig."""

    def __init__(self, timeout: float | timedelta) -> None:
        if not isinstance(timeout, (int, float, timedelta)):
            raise SettingError(f"`timeout` must be a number of seconds or a timedelta; got {timeout!r}.")
        self.seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else float(timeout)


class CombinedStopper(Stopper):
    """Ends a trial or the study when any of several stoppers does."""

    def __init__(self, *stoppers: Stopper) -> None:
        self.stoppers = stoppers

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Returns whether any stopper ends the trial; calls all of them, as they count reports."""
        says = [stopper(trial_id, result) for stopper in self.stoppers]
        return any(says)

    def stop_all(self) -> bool:
        """Returns whether any stopper ends the study."""
        return any(stopper.stop_all() for stopper in self.stoppers)


StopCheck = Callable[[str, Mapping[str, Any]], bool]
_NEVER_ALL = ("NoopStopper", "FunctionStopper", "MaximumIterationStopper", "TrialPlateauStopper", "TimeoutStopper")
_NEVER_ONE = ("NoopStopper", "TimeoutStopper", "ExperimentPlateauStopper")


class StopCriteria:
    """The criteria that a user passed as `stop`.

    Args:
        given: None, a dict of metrics and the values that end a trial, a function of (trial_id, result), or a stopper of
            rbt_ray or Ray Tune.
        max_t: limit of reports of a trial; None: no limit.

    Raises:
        SettingError: it is something else.
    """

    def __init__(self, given: Any, max_t: float | None = None) -> None:
        self._limits = flatten(given) if isinstance(given, Mapping) else {}
        if max_t is not None:
            self._limits["training_iteration"] = min(max_t, self._limits.get("training_iteration", max_t))
        self._parts = [] if given is None or isinstance(given, Mapping) else _parts(given)

    @property
    def max_iterations(self) -> int | None:
        """Limit of reports of a trial; None: unknown."""
        known = [self._limits["training_iteration"]] if "training_iteration" in self._limits else []
        known += [part._max_iter for part in self._parts if type(part).__name__ == "MaximumIterationStopper"]
        return max(1, int(min(known))) if known else None

    @property
    def seconds(self) -> float | None:
        """Time limit of the study in seconds; None: no limit."""
        timeouts = [part for part in self._parts if type(part).__name__ == "TimeoutStopper"]
        return min((part.seconds for part in timeouts), default=None)

    def for_trial(self) -> StopCheck:
        """Returns a new check of whether a report is a trial's last."""
        parts = [copy.deepcopy(part) for part in self._parts if type(part).__name__ not in _NEVER_ONE]

        def ends(trial_id: str, result: Mapping[str, Any]) -> bool:
            values = flatten(result)
            for name in self._limits:
                if name not in values:
                    names = ", ".join(values)
                    raise TuneError(
                        f"`stop` contains {name!r}, which the trainable did not report; it reported {names}."
                    )
            reached = any(values[name] >= limit for name, limit in self._limits.items())
            says = [bool(part(trial_id, result)) for part in parts]  # call all of them, as they count reports
            return reached or any(says)

        return ends

    def for_study(self) -> Any:
        """Returns a stopper whose `stop_all` may end the study, or None if there is none."""
        parts = [part for part in self._parts if type(part).__name__ not in _NEVER_ALL and hasattr(part, "stop_all")]
        return CombinedStopper(*copy.deepcopy(parts)) if parts else None


def _parts(given: Any) -> list[Any]:
    if type(given).__name__ == "CombinedStopper":
        inner = getattr(given, "stoppers", None) or given._stoppers
        return [part for one in inner for part in _parts(one)]
    if not callable(given):
        raise SettingError(
            f"`stop` must be a dict such as {{'training_iteration': 10}}, a function of (trial_id, result), or a stopper of "
            f"`rbt_ray.tune.stopper`; got {given!r}."
        )
    return [_to_native(given)]


_RAY_ARGUMENTS: dict[type[Stopper], tuple[str, ...]] = {
    NoopStopper: (),
    FunctionStopper: ("_fn",),
    MaximumIterationStopper: ("_max_iter",),
    TrialPlateauStopper: ("_metric", "_std", "_num_results", "_grace_period", "_metric_threshold", "_mode"),
    TimeoutStopper: ("_timeout_seconds",),
}
"""The attributes in which Ray Tune's own stoppers (2.40 to 2.60) keep their arguments, in the order of the constructors here."""


def _to_native(given: Any) -> Any:
    """Converts one of Ray Tune's stoppers, so that workers need not import Ray; returns any other as it is."""
    if type(given).__module__.startswith("ray.tune.stopper"):
        for kind, attributes in _RAY_ARGUMENTS.items():
            if type(given).__name__ == kind.__name__:
                return kind(*(getattr(given, name) for name in attributes))
    return given
