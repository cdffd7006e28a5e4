"""A scheduler of Ray Tune's kind as one of ours: a race up a ladder of reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rbt_ray.compat.ray_tune import schedulers as names
from rbt_ray.errors import NotSupportedError, SettingError
from rbt_ray.search.asha import ASHA, MedianStopping
from rbt_ray.search.hyperband import Hyperband
from rbt_ray.search.scheduler import Scheduler

_FIELDS = {
    "AsyncHyperBandScheduler": {
        "time_attr": "_time_attr", "metric": "_metric", "mode": "_mode", "max_t": "_max_t",
        "reduction_factor": "_reduction_factor", "stop_last_trials": "_stop_last_trials",
    },
    "HyperBandScheduler": {
        "time_attr": "_time_attr", "metric": "_metric", "mode": "_mode", "max_t": "_max_t_attr",
        "reduction_factor": "_eta", "stop_last_trials": "_stop_last_trials",
    },
    "MedianStoppingRule": {
        "time_attr": "_time_attr", "metric": "_metric", "mode": "_mode", "grace_period": "_grace_period",
        "min_samples_required": "_min_samples_required", "min_time_slice": "_min_time_slice", "hard_stop": "_hard_stop",
    },
    "FIFOScheduler": {},
}  # fmt: skip
"""Where Ray Tune's own objects (2.40 to 2.60) keep their arguments."""


@dataclass(frozen=True)
class SchedulePlan:
    """How trials are sent up.

    Args:
        scheduler: of ours.
        milestones: numbers of reports, ascending; the last is how many a trial makes.
        eta: the factor between them.
    """

    scheduler: Scheduler
    milestones: tuple[int, ...]
    eta: float

    @property
    def max_reports(self) -> int:
        """How many reports are full fidelity."""
        return self.milestones[-1]

    @property
    def ladder(self) -> tuple[float, ...]:
        """The milestones as fidelities."""
        return tuple(milestone / self.max_reports for milestone in self.milestones)


def to_native_scheduler(given: Any) -> Any:
    """A scheduler of `rbt_ray.tune.schedulers`, made of whatever the user passed.

    Raises:
        NotSupportedError: it is one that is not supported.
        SettingError: it is no scheduler.
    """
    if given is None or isinstance(given, names.TrialScheduler):
        return given
    if isinstance(given, str):
        return names.create_scheduler(given)
    module, kind = type(given).__module__, type(given).__name__
    if not module.startswith("ray.tune.schedulers"):
        raise SettingError(f"`scheduler` is one of `rbt_ray.tune.schedulers`; got {given!r}.")
    if kind not in _FIELDS:
        instead = getattr(names, kind, names.PopulationBasedTraining).instead
        raise NotSupportedError(f"{kind} is not supported; use {instead}.")
    options = {name: getattr(given, attribute) for name, attribute in _FIELDS[kind].items()}
    if kind == "AsyncHyperBandScheduler":
        options["brackets"] = len(given._brackets)
        options["grace_period"] = min(milestone for milestone, _ in given._brackets[0]._rungs)
    return getattr(names, kind)(**options)


def schedule_plan(scheduler: Any, max_iterations: int | None) -> SchedulePlan | None:
    """The plan that a scheduler means; None: every trial runs to its end.

    Args:
        scheduler: one of `rbt_ray.tune.schedulers`, or None.
        max_iterations: what `stop` allows a trial, where it says so.

    Raises:
        SettingError: it cannot be known how long a trial is.
    """
    if scheduler is None or isinstance(scheduler, names.FIFOScheduler):
        return None
    if isinstance(scheduler, names.MedianStoppingRule):
        if max_iterations is None:
            raise SettingError(
                "MedianStoppingRule has to know how many reports a trial makes: say it by `RunConfig(stop={'training_iteration': n})`."
            )
        plan = _up(MedianStopping(least=scheduler.min_samples_required), scheduler.grace_period, 2.0, max_iterations)
    else:
        last = int(scheduler.max_t if max_iterations is None else min(scheduler.max_t, max_iterations))
        eta = float(scheduler.reduction_factor)
        if isinstance(scheduler, names.HyperBandScheduler):
            plan = _down(Hyperband(), last, eta)
        else:
            plan = _up(ASHA(kind="stopping"), scheduler.grace_period, eta, last)
    return plan if len(plan.milestones) > 1 else None


def _up(scheduler: Scheduler, first: float, eta: float, last: int) -> SchedulePlan:
    milestones, at = [], float(first)
    while round(at) < last:
        milestones.append(round(at))
        at *= eta
    return SchedulePlan(scheduler, (*dict.fromkeys(milestones), last), eta)


def _down(scheduler: Scheduler, last: int, eta: float) -> SchedulePlan:
    milestones, at = [last], last / eta
    while round(at, 9) >= 1:
        milestones.append(int(round(at, 9)))
        at /= eta
    return SchedulePlan(scheduler, tuple(sorted(set(milestones))), eta)
