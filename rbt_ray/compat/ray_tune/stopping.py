"""`RunConfig(stop=...)` in its parts: what ends a trial, what ends the study, and how long that may take."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from rbt_ray.compat.ray_tune import stopper
from rbt_ray.compat.ray_tune.trial import flatten
from rbt_ray.errors import SettingError, TuneError

StopCheck = Callable[[str, Mapping[str, Any]], bool]
_NEVER_ALL = ("NoopStopper", "FunctionStopper", "MaximumIterationStopper", "TrialPlateauStopper", "TimeoutStopper")
_NEVER_ONE = ("NoopStopper", "TimeoutStopper", "ExperimentPlateauStopper")


class StopCriteria:
    """What a user passed as `stop`.

    Args:
        given: None, a dict of metrics and the values that end a trial, a function of (trial_id, result), or a stopper,
            ours or Ray Tune's.
        max_t: reports after which a trial ends in any case; None: any number.

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
        """Reports after which a trial ends in any case, where that can be known beforehand."""
        known = [self._limits["training_iteration"]] if "training_iteration" in self._limits else []
        known += [part._max_iter for part in self._parts if type(part).__name__ == "MaximumIterationStopper"]
        return max(1, int(min(known))) if known else None

    @property
    def seconds(self) -> float | None:
        """What the study may take."""
        timeouts = [part for part in self._parts if type(part).__name__ == "TimeoutStopper"]
        return min((part.seconds for part in timeouts), default=None)

    def for_trial(self) -> StopCheck:
        """Whether a report is a trial's last; fresh for each trial."""
        parts = [copy.deepcopy(part) for part in self._parts if type(part).__name__ not in _NEVER_ONE]

        def ends(trial_id: str, result: Mapping[str, Any]) -> bool:
            values = flatten(result)
            for name in self._limits:
                if name not in values:
                    names = ", ".join(values)
                    raise TuneError(f"`stop` names {name!r}, which the trainable did not report; it reported {names}.")
            reached = any(values[name] >= limit for name, limit in self._limits.items())
            says = [bool(part(trial_id, result)) for part in parts]  # all are asked, since they count
            return reached or any(says)

        return ends

    def for_study(self) -> Any:
        """A stopper whose `stop_all` may end the study; None where nothing could."""
        parts = [part for part in self._parts if type(part).__name__ not in _NEVER_ALL and hasattr(part, "stop_all")]
        return _All(copy.deepcopy(parts)) if parts else None


class _All:
    def __init__(self, parts: list[Any]) -> None:
        self._parts = parts

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> None:
        for part in self._parts:
            part(trial_id, result)

    def stop_all(self) -> bool:
        return any(bool(part.stop_all()) for part in self._parts)


def _parts(given: Any) -> list[Any]:
    if type(given).__name__ == "CombinedStopper":
        inner = getattr(given, "stoppers", None) or given._stoppers
        return [part for one in inner for part in _parts(one)]
    if not callable(given):
        raise SettingError(
            f"`stop` is a dict such as {{'training_iteration': 10}}, a function of (trial_id, result), or a stopper of "
            f"`rbt_ray.tune.stopper`; got {given!r}."
        )
    return [_to_native(given)]


_RAY_ARGUMENTS = {
    "NoopStopper": (),
    "FunctionStopper": ("_fn",),
    "MaximumIterationStopper": ("_max_iter",),
    "TrialPlateauStopper": ("_metric", "_std", "_num_results", "_grace_period", "_metric_threshold", "_mode"),
    "TimeoutStopper": ("_timeout_seconds",),
}
"""Where Ray Tune's own objects (2.40 to 2.60) keep their arguments, in the order of ours."""


def _to_native(given: Any) -> Any:
    """One of Ray Tune's as ours, for which no worker has to import Ray; any other as it is."""
    kind = type(given).__name__
    if type(given).__module__.startswith("ray.tune.stopper") and kind in _RAY_ARGUMENTS:
        return getattr(stopper, kind)(*(getattr(given, name) for name in _RAY_ARGUMENTS[kind]))
    return given
