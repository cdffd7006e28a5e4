"""Ray Tune's schedulers by their names and arguments, as settings of ours.

A trial that a scheduler lets go on does so from its latest checkpoint, or from its start where it leaves none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rbt_ray.errors import NotSupportedError, SettingError

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
    """What decides how long trials run."""


@dataclass
class FIFOScheduler(TrialScheduler):
    """Runs every trial to its end, in order."""


@dataclass
class AsyncHyperBandScheduler(TrialScheduler):
    """ASHA: a trial that is not among the best 1/reduction_factor of those so far at a milestone ends there.

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
        SettingError: a value is not one of those it may have.
        NotSupportedError: `time_attr`, `brackets` or `stop_last_trials` is another.
    """

    time_attr: str = _ITERATIONS
    metric: str | None = None
    mode: str | None = None
    max_t: int = 100
    grace_period: int = 1
    reduction_factor: float = 4
    brackets: int = 1
    stop_last_trials: bool = True

    def __post_init__(self) -> None:
        _check(self)
        if not 0 < self.grace_period <= self.max_t:
            raise SettingError(f"`grace_period` is above 0 and at most `max_t`; got {self.grace_period!r}.")
        if self.brackets != 1:
            raise NotSupportedError(
                f"`brackets` is 1 here; got {self.brackets!r}. Brackets that begin at several milestones are HyperBandScheduler's."
            )


ASHAScheduler = AsyncHyperBandScheduler


@dataclass
class HyperBandScheduler(TrialScheduler):
    """Hyperband: brackets of trials compete at milestones that are `max_t` divided by powers of `reduction_factor`.

    Args:
        time_attr: "training_iteration": time is counted in reports.
        metric: the metric; None: that of TuneConfig.
        mode: "min" or "max"; None: that of TuneConfig.
        max_t: reports after which a trial ends.
        reduction_factor: above 1.
        stop_last_trials: True.

    Raises:
        SettingError: a value is not one of those it may have.
        NotSupportedError: `time_attr` or `stop_last_trials` is another.
    """

    time_attr: str = _ITERATIONS
    metric: str | None = None
    mode: str | None = None
    max_t: int = 81
    reduction_factor: float = 3
    stop_last_trials: bool = True

    def __post_init__(self) -> None:
        _check(self)


@dataclass
class MedianStoppingRule(TrialScheduler):
    """A trial that is worse than the median of the others at a milestone ends there.

    Milestones are `grace_period` times powers of 2. How long trials may run is what `stop` says of
    "training_iteration"; Ray Tune's own default, to count seconds, cannot be repeated and is refused.

    Args:
        time_attr: has to be "training_iteration".
        metric: the metric; None: that of TuneConfig.
        mode: "min" or "max"; None: that of TuneConfig.
        grace_period: reports before a trial may be ended.
        min_samples_required: trials that a median is to_settings of at least.
        min_time_slice: 0.
        hard_stop: True.

    Raises:
        SettingError: a value is not one of those it may have.
        NotSupportedError: `time_attr`, `min_time_slice` or `hard_stop` is another.
    """

    time_attr: str = "time_total_s"
    metric: str | None = None
    mode: str | None = None
    grace_period: float = 60.0
    min_samples_required: int = 3
    min_time_slice: int = 0
    hard_stop: bool = True

    def __post_init__(self) -> None:
        _check(self)
        if self.grace_period <= 0:
            raise SettingError(f"`grace_period` is above 0; got {self.grace_period!r}.")
        if not self.hard_stop or self.min_time_slice:
            raise NotSupportedError("`hard_stop=False` and `min_time_slice` pause trials, which is not supported here.")


class _Unsupported(TrialScheduler):
    instead = "ASHAScheduler or HyperBandScheduler"

    def __init__(self, *_args: Any, **_options: Any) -> None:
        raise NotSupportedError(f"{type(self).__name__} is not supported; use {self.instead}.")


class PopulationBasedTraining(_Unsupported):
    """Not supported: a trial would go on with another's weights and a config that is in no space."""

    instead = "ASHAScheduler, or TuneConfig(search_alg='bohb') for a search that learns from results"


class PopulationBasedTrainingReplay(PopulationBasedTraining):
    """Not supported."""


class PB2(PopulationBasedTraining):
    """Not supported."""


class HyperBandForBOHB(_Unsupported):
    """Not supported: BOHB brings its own."""

    instead = "TuneConfig(search_alg='bohb', scheduler=HyperBandScheduler(max_t=...))"


class ResourceChangingScheduler(_Unsupported):
    """Not supported: workers stay from trial to trial."""

    instead = "`tune.with_resources(trainable, {'cpu': 2})`, which holds for all trials"


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
    """A scheduler by Ray Tune's name for it.

    Raises:
        SettingError: there is none of that name.
        NotSupportedError: it is one that is not supported.
    """
    if scheduler.lower() not in _BY_NAME:
        raise SettingError(f"`scheduler` is one of {', '.join(_BY_NAME)}; got {scheduler!r}.")
    return _BY_NAME[scheduler.lower()](**options)


def _check(scheduler: Any) -> None:
    kind = type(scheduler).__name__
    if scheduler.time_attr != _ITERATIONS:
        raise NotSupportedError(
            f"`time_attr` of {kind} is 'training_iteration' here, the number of reports; got {scheduler.time_attr!r}, "
            f"which no second run would repeat. Pass time_attr='training_iteration', and other times in reports."
        )
    if scheduler.mode not in (None, "min", "max"):
        raise SettingError(f"`mode` is 'min' or 'max'; got {scheduler.mode!r}.")
    if not getattr(scheduler, "max_t", 1) > 0:
        raise SettingError(f"`max_t` is above 0; got {scheduler.max_t!r}.")
    if not getattr(scheduler, "reduction_factor", 2) > 1:
        raise SettingError(f"`reduction_factor` is above 1; got {scheduler.reduction_factor!r}.")
    if not getattr(scheduler, "stop_last_trials", True):
        raise NotSupportedError(f"`stop_last_trials=False` is not supported: trials of {kind} end at `max_t`.")
