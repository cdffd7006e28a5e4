"""Ray Tune's schedulers by name and arguments, and their conversion to the engine's schedulers.

A trial that a scheduler continues restarts from its latest checkpoint, or from its beginning without one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rbt_ray.compat.ray_tune.unsupported import unsupported_class
from rbt_ray.errors import NotSupportedError, SettingError
from rbt_ray.search.asha import ASHA, MedianStopping
from rbt_ray.search.hyperband import Hyperband
from rbt_ray.search.scheduler import Scheduler

__all__ = [
    "PB2",
    "ASHAScheduler",
    "AsyncHyperBandScheduler",
    "FIFOScheduler",
    "HyperBandForBOHB",
    "HyperBandScheduler",
    "MedianStoppingRule",
    "PopulationBasedTraining",
    "PopulationBasedTrainingReplay",
    "ResourceChangingScheduler",
    "TrialScheduler",
    "create_scheduler",
]

_ITERATIONS = "training_iteration"


@dataclass
class TrialScheduler:
    """Base class of schedulers, which decide how long trials run."""


@dataclass
class FIFOScheduler(TrialScheduler):
    """Runs every trial to its end, in order."""


@dataclass
class _Timed(TrialScheduler):
    time_attr: str = _ITERATIONS
    metric: str | None = None
    mode: str | None = None

    def __post_init__(self) -> None:
        kind = type(self).__name__
        if self.time_attr != _ITERATIONS:
            raise NotSupportedError(
                f"`time_attr` of {kind} must be 'training_iteration', the number of reports; got {self.time_attr!r}, "
                f"which is not reproducible. Pass time_attr='training_iteration', and convert other times to reports."
            )
        if self.mode not in (None, "min", "max"):
            raise SettingError(f"`mode` must be 'min' or 'max'; got {self.mode!r}.")
        max_t, factor = getattr(self, "max_t", 1), getattr(self, "reduction_factor", 2)
        if not max_t > 0:
            raise SettingError(f"`max_t` must be above 0; got {max_t!r}.")
        if not factor > 1:
            raise SettingError(f"`reduction_factor` must be above 1; got {factor!r}.")
        if not getattr(self, "stop_last_trials", True):
            raise NotSupportedError(f"`stop_last_trials=False` is not supported: trials of {kind} end at `max_t`.")


@dataclass
class AsyncHyperBandScheduler(_Timed):
    """ASHA: stops a trial at a milestone unless it is among the best 1/reduction_factor of those that reached it.

    Milestones are `grace_period` times powers of `reduction_factor`, and `max_t`.

    Args:
        time_attr: "training_iteration": time is counted in reports.
        metric: the metric; None: that of TuneConfig.
        mode: "min" or "max"; None: that of TuneConfig.
        max_t: reports after which a trial ends.
        grace_period: reports before a trial may be ended.
        reduction_factor: above 1.
        brackets: 1.
        stop_last_trials: True.

    Raises:
        SettingError: an argument has an invalid value.
        NotSupportedError: `time_attr`, `brackets` or `stop_last_trials` is another.
    """

    max_t: int = 100
    grace_period: int = 1
    reduction_factor: float = 4
    brackets: int = 1
    stop_last_trials: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.grace_period <= self.max_t:
            raise SettingError(f"`grace_period` must be above 0 and at most `max_t`; got {self.grace_period!r}.")
        if self.brackets != 1:
            raise NotSupportedError(
                f"`brackets` must be 1; got {self.brackets!r}. For brackets with different first milestones use HyperBandScheduler."
            )


ASHAScheduler = AsyncHyperBandScheduler


@dataclass
class HyperBandScheduler(_Timed):
    """Hyperband: brackets of trials compete at milestones, which are `max_t` divided by powers of `reduction_factor`.

    The arguments are those of `AsyncHyperBandScheduler`.

    Raises:
        SettingError: an argument has an invalid value.
        NotSupportedError: `time_attr` or `stop_last_trials` is another.
    """

    max_t: int = 81
    reduction_factor: float = 3
    stop_last_trials: bool = True


@dataclass
class MedianStoppingRule(_Timed):
    """Stops a trial at a milestone if it is worse than the median of the others.

    Milestones are `grace_period` times powers of 2. `stop` must limit "training_iteration". Ray Tune's default, to measure
    time in seconds, is not reproducible and is refused.

    Args:
        time_attr: must be "training_iteration".
        metric: as in `AsyncHyperBandScheduler`.
        mode: as in `AsyncHyperBandScheduler`.
        grace_period: reports before a trial may be ended.
        min_samples_required: how many trials a median needs.
        min_time_slice: 0.
        hard_stop: True.

    Raises:
        SettingError: an argument has an invalid value.
        NotSupportedError: `time_attr`, `min_time_slice` or `hard_stop` is another.
    """

    time_attr: str = "time_total_s"
    grace_period: float = 60.0
    min_samples_required: int = 3
    min_time_slice: int = 0
    hard_stop: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.grace_period <= 0:
            raise SettingError(f"`grace_period` must be above 0; got {self.grace_period!r}.")
        if not self.hard_stop or self.min_time_slice:
            raise NotSupportedError("`hard_stop=False` and `min_time_slice` pause trials, which is not supported here.")


class _Unsupported(TrialScheduler):
    """Not supported."""

    instead = ""

    def __init__(self, *_args: Any, **_options: Any) -> None:
        raise NotSupportedError(f"{type(self).__name__} is not supported; use {self.instead}.")


_LEARNING = "ASHAScheduler, or TuneConfig(search_alg='bohb') for a search that learns from results"
# Population-based training continues a trial with another's weights and a config outside the space.
PopulationBasedTraining = unsupported_class("PopulationBasedTraining", _LEARNING, _Unsupported)
PopulationBasedTrainingReplay = unsupported_class("PopulationBasedTrainingReplay", _LEARNING, _Unsupported)
PB2 = unsupported_class("PB2", _LEARNING, _Unsupported)
HyperBandForBOHB = unsupported_class(
    "HyperBandForBOHB", "TuneConfig(search_alg='bohb', scheduler=HyperBandScheduler(max_t=...))", _Unsupported
)
ResourceChangingScheduler = unsupported_class(
    "ResourceChangingScheduler",
    "`tune.with_resources(trainable, {'cpu': 2})`, which holds for all trials",
    _Unsupported,
)

_BY_NAME: dict[str, type[TrialScheduler]] = {
    "fifo": FIFOScheduler,
    "async_hyperband": AsyncHyperBandScheduler,
    "asynchyperband": AsyncHyperBandScheduler,
    "asha": AsyncHyperBandScheduler,
    "hyperband": HyperBandScheduler,
    "median_stopping_rule": MedianStoppingRule,
    "medianstopping": MedianStoppingRule,
    "hb_bohb": HyperBandForBOHB,
    "pbt": PopulationBasedTraining,
    "pbt_replay": PopulationBasedTrainingReplay,
    "pb2": PB2,
    "resource_changing": ResourceChangingScheduler,
}


def create_scheduler(scheduler: str, **options: Any) -> TrialScheduler:
    """Creates a scheduler by its name in Ray Tune.

    Raises:
        SettingError: the name is unknown.
        NotSupportedError: the scheduler is not supported.
    """
    if scheduler.lower() not in _BY_NAME:
        raise SettingError(f"`scheduler` must be one of {', '.join(_BY_NAME)}; got {scheduler!r}.")
    return _BY_NAME[scheduler.lower()](**options)


_RAY_FIELDS: dict[Any, dict[str, str]] = {
    AsyncHyperBandScheduler: {
        "time_attr": "_time_attr", "metric": "_metric", "mode": "_mode", "max_t": "_max_t",
        "reduction_factor": "_reduction_factor", "stop_last_trials": "_stop_last_trials",
    },
    HyperBandScheduler: {
        "time_attr": "_time_attr", "metric": "_metric", "mode": "_mode", "max_t": "_max_t_attr",
        "reduction_factor": "_eta", "stop_last_trials": "_stop_last_trials",
    },
    MedianStoppingRule: {
        "time_attr": "_time_attr", "metric": "_metric", "mode": "_mode", "grace_period": "_grace_period",
        "min_samples_required": "_min_samples_required", "min_time_slice": "_min_time_slice", "hard_stop": "_hard_stop",
    },
    FIFOScheduler: {},
}  # fmt: skip
"""The attributes in which Ray Tune's own schedulers (2.40 to 2.60) keep their arguments."""
_BY_CLASS_NAME: dict[str, Any] = {kind.__name__: kind for kind in _BY_NAME.values()}


@dataclass(frozen=True)
class SchedulePlan:
    """A scheduler of the engine with its milestones.

    Args:
        scheduler: the engine's scheduler.
        milestones: numbers of reports, ascending; the last is the length of a full trial.
        eta: the factor between milestones.
    """

    scheduler: Scheduler
    milestones: tuple[int, ...]
    eta: float

    @property
    def max_reports(self) -> int:
        """Number of reports at full fidelity."""
        return self.milestones[-1]

    @property
    def ladder(self) -> tuple[float, ...]:
        """The milestones as fidelities."""
        return tuple(milestone / self.max_reports for milestone in self.milestones)


def to_native_scheduler(given: Any) -> Any:
    """Converts what the user passed to a scheduler of `rbt_ray.tune.schedulers`.

    Raises:
        NotSupportedError: the scheduler is not supported.
        SettingError: it is not a scheduler.
    """
    if given is None or isinstance(given, TrialScheduler):
        return given
    if isinstance(given, str):
        return create_scheduler(given)
    name = type(given).__name__
    if not type(given).__module__.startswith("ray.tune.schedulers"):
        raise SettingError(f"`scheduler` must be one of `rbt_ray.tune.schedulers`; got {given!r}.")
    kind = _BY_CLASS_NAME.get(name, PopulationBasedTraining)
    if kind not in _RAY_FIELDS:
        raise NotSupportedError(f"{name} is not supported; use {kind.instead}.")
    options = {field: getattr(given, attribute) for field, attribute in _RAY_FIELDS[kind].items()}
    if kind is AsyncHyperBandScheduler:
        options["brackets"] = len(given._brackets)
        options["grace_period"] = min(milestone for milestone, _ in given._brackets[0]._rungs)
    return kind(**options)


def schedule_plan(scheduler: Any, max_iterations: int | None) -> SchedulePlan | None:
    """Returns the plan of a scheduler, or None if every trial runs to its end.

    Args:
        scheduler: one of `rbt_ray.tune.schedulers`, or None.
        max_iterations: the limit of reports in `stop`, if there is one.

    Raises:
        SettingError: the length of a trial is unknown.
    """
    if scheduler is None or isinstance(scheduler, FIFOScheduler):
        return None
    if isinstance(scheduler, MedianStoppingRule):
        if max_iterations is None:
            raise SettingError(
                "MedianStoppingRule needs the number of reports of a trial: set RunConfig(stop={'training_iteration': n})."
            )
        plan = _ascending(
            MedianStopping(least=scheduler.min_samples_required), scheduler.grace_period, 2.0, max_iterations
        )
    else:
        last = int(scheduler.max_t if max_iterations is None else min(scheduler.max_t, max_iterations))
        eta = float(scheduler.reduction_factor)
        if isinstance(scheduler, HyperBandScheduler):
            plan = _descending(Hyperband(), last, eta)
        else:
            plan = _ascending(ASHA(kind="stopping"), scheduler.grace_period, eta, last)
    return plan if len(plan.milestones) > 1 else None


def _ascending(scheduler: Scheduler, first: float, eta: float, last: int) -> SchedulePlan:
    milestones, at = [], float(first)
    while round(at) < last:
        milestones.append(round(at))
        at *= eta
    return SchedulePlan(scheduler, (*dict.fromkeys(milestones), last), eta)


def _descending(scheduler: Scheduler, last: int, eta: float) -> SchedulePlan:
    milestones, at = [last], last / eta
    while round(at, 9) >= 1:
        milestones.append(int(round(at, 9)))
        at /= eta
    return SchedulePlan(scheduler, tuple(sorted(set(milestones))), eta)
