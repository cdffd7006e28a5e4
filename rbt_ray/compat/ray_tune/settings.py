"""Ray Tune's settings with their names and defaults, checked when created."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from rbt_ray.errors import NotSupportedError, SettingError
from rbt_ray.tuner.config import check_constraints

T = TypeVar("T")


@dataclass
class CheckpointConfig:
    """When to take checkpoints, and which to keep.

    Args:
        num_to_keep: how many to keep per trial, beside the latest; None: all.
        checkpoint_score_attribute: the metric that ranks checkpoints; None: keep the latest.
        checkpoint_score_order: "max" or "min".
        checkpoint_frequency: iterations of a class between checkpoints; 0: none.
        checkpoint_at_end: whether a class takes one at its end.
    """

    num_to_keep: int | None = None
    checkpoint_score_attribute: str | None = None
    checkpoint_score_order: str | None = "max"
    checkpoint_frequency: int | None = 0
    checkpoint_at_end: bool | None = None

    def __post_init__(self) -> None:
        if self.num_to_keep is not None and self.num_to_keep <= 0:
            raise SettingError(f"`num_to_keep` must be None or a whole number above 0; got {self.num_to_keep!r}.")
        if self.checkpoint_score_order not in ("max", "min"):
            raise SettingError(f"`checkpoint_score_order` must be 'max' or 'min'; got {self.checkpoint_score_order!r}.")
        if (self.checkpoint_frequency or 0) < 0:
            raise SettingError(f"`checkpoint_frequency` must be 0 or more; got {self.checkpoint_frequency!r}.")


@dataclass
class FailureConfig:
    """What to do when a trial fails.

    Args:
        max_failures: how often to retry it from its latest checkpoint; -1: without limit.
        fail_fast: True: the first failure ends the study; "raise": `fit` raises it as well.
    """

    max_failures: int = 0
    fail_fast: bool | str = False

    def __post_init__(self) -> None:
        if not (isinstance(self.fail_fast, bool) or str(self.fail_fast).lower() == "raise"):
            raise SettingError(f"`fail_fast` must be True, False or 'raise'; got {self.fail_fast!r}.")
        if self.fail_fast and self.max_failures != 0:
            raise SettingError(f"`max_failures` must be 0 if `fail_fast` is set; got {self.max_failures!r}.")


@dataclass
class SyncConfig:
    """Accepted and ignored: a study at a URI mirrors its journal (`mirror_interval_s` of `rbt.RunConfig`)."""

    sync_period: int = 300
    sync_timeout: int = 1800
    sync_artifacts: bool = False
    sync_artifacts_on_checkpoint: bool = True


@dataclass
class TuneConfig:
    """What to search, and how: Ray Tune's settings, `seed` and `constraints`.

    Args:
        metric: the reported metric to optimize.
        mode: "min" or "max".
        search_alg: None or "random": samples in Ray Tune's order; "bohb", "tpe", "sobol", `rbt.BOHB(...)`, an Optuna sampler,
            or a searcher of Ray Tune.
        scheduler: one of `rbt_ray.tune.schedulers`, or the same scheduler of Ray Tune.
        num_samples: how often to sample the space; each combination of its grids is run as often.
        max_concurrent_trials: limit of workers, and of open trials with a searcher; None or 0: one worker per processor, and
            8 open trials with a searcher of Ray Tune.
        time_budget_s: seconds, or a timedelta, after which the study stops.
        reuse_actors: reuse a class's object for the next trial if its `reset_config` returns True; workers are always reused.
        trial_name_creator: returns a trial's name.
        trial_dirname_creator: returns the name of a trial's folder.
        seed: seed of all random draws; None: a random seed.
        constraints: conditions on parameters, such as "fast < slow" or a function of the config; every trial satisfies them.
    """

    metric: str | None = None
    mode: str | None = None
    search_alg: Any = None
    scheduler: Any = None
    num_samples: int = 1
    max_concurrent_trials: int | None = None
    time_budget_s: float | timedelta | None = None
    reuse_actors: bool = False
    trial_name_creator: Callable[[Any], str] | None = None
    trial_dirname_creator: Callable[[Any], str] | None = None
    seed: int | None = None
    constraints: Sequence[Any] = ()

    def __post_init__(self) -> None:
        self.constraints = check_constraints(self.constraints)
        if not isinstance(self.metric, (str, type(None))):
            raise SettingError(
                f"`metric` must be the name of one metric; got {self.metric!r}. `rbt_ray.TuneConfig` takes several."
            )
        if self.mode not in (None, "min", "max"):
            raise SettingError(f"`mode` must be 'min' or 'max'; got {self.mode!r}.")
        n = self.num_samples
        if isinstance(n, bool) or not isinstance(n, int) or (n < 1 and n != -1):
            raise SettingError(f"`num_samples` must be a whole number above 0, or -1; got {n!r}.")
        if self.max_concurrent_trials is not None and self.max_concurrent_trials < 0:
            raise SettingError(f"`max_concurrent_trials` must be 0 or more; got {self.max_concurrent_trials!r}.")

    @property
    def budget_seconds(self) -> float | None:
        """`time_budget_s` in seconds."""
        budget = self.time_budget_s
        return budget.total_seconds() if isinstance(budget, timedelta) else budget


@dataclass
class RunConfig:
    """Where and how to run a study: Ray Tune's settings, and some of `rbt.RunConfig`.

    Args:
        name: name of the study's folder; None: the trainable's name and the time.
        storage_path: the folder of studies; None: ``~/ray_results``.
        storage_filesystem: not supported; pass `storage_path` as a URI.
        failure_config: what to do when a trial fails.
        checkpoint_config: which checkpoints are taken and kept.
        sync_config: ignored.
        verbose: 0: quiet; else show progress on stderr.
        stop: a dict of metrics and the values that end a trial, a function of (trial_id, result), or a `Stopper`.
        callbacks: objects such as `Callback`.
        progress_reporter: ignored: rbt_ray shows its own progress.
        log_to_file: not supported: the output of trainables goes to stderr.
        backend: as in `rbt.RunConfig`, and so are the following.
        address: see `backend`.
        num_workers: see `backend`.
        trial_timeout_s: see `backend`.
    """

    name: str | None = None
    storage_path: str | os.PathLike[str] | None = None
    storage_filesystem: Any = None
    failure_config: FailureConfig | None = None
    checkpoint_config: CheckpointConfig | None = None
    sync_config: Any = None
    verbose: int | None = None
    stop: Any = None
    callbacks: Sequence[Any] | None = None
    progress_reporter: Any = None
    log_to_file: Any = False
    backend: str = "auto"
    address: str | None = None
    num_workers: int | None = None
    trial_timeout_s: float | None = None

    def __post_init__(self) -> None:
        if self.storage_filesystem is not None:
            raise NotSupportedError(
                "`storage_filesystem` is not supported; pass `storage_path` as a URI such as 's3://bucket/studies'."
            )
        if self.log_to_file:
            raise NotSupportedError(
                "`log_to_file` is not supported: the output of trainables goes to stderr, on Ray to Ray's logs."
            )
        self.storage_path = str(self.storage_path or Path.home() / "ray_results")
        self.failure_config = to_settings(FailureConfig, self.failure_config)
        self.checkpoint_config = to_settings(CheckpointConfig, self.checkpoint_config)


def to_settings(kind: type[T], given: Any) -> T:
    """Returns the settings or their defaults; copies the fields of Ray Tune's object of the same name."""
    if given is None:
        return kind()
    if isinstance(given, kind):
        return given
    if type(given).__name__ != kind.__name__:
        raise SettingError(f"expected a {kind.__name__}; got {given!r} of type {type(given).__name__}.")
    known = {f.name: getattr(given, f.name) for f in fields(kind) if hasattr(given, f.name)}  # type: ignore[arg-type]
    return kind(**known)


@dataclass(frozen=True)
class Resources:
    """Resources that a trial uses, as set by `with_resources`.

    Args:
        cpu: processors.
        gpu: graphics cards.
        others: other resources of Ray by name.
    """

    cpu: float = 1.0
    gpu: float = 0.0
    others: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Any) -> Resources:
        """Parses a dict such as ``{"cpu": 2, "gpu": 1}``.

        Raises:
            NotSupportedError: it is a placement group or a function of the config.
            SettingError: it is not a dict of amounts.
        """
        if given is None:
            return cls()
        if not isinstance(given, Mapping):
            raise NotSupportedError(
                f"`with_resources` needs a dict such as {{'cpu': 2}} for all trials, which share workers; got {given!r}."
            )
        amounts = {
            str(name).lower() if str(name).lower() in ("cpu", "gpu") else str(name): n for name, n in given.items()
        }
        for name, amount in amounts.items():
            if isinstance(amount, bool) or not isinstance(amount, (int, float)) or amount < 0:
                raise SettingError(f"`with_resources`: the amount of {name!r} must be 0 or more; got {amount!r}.")
        cpu, gpu = amounts.pop("cpu", 1.0), amounts.pop("gpu", 0.0)
        return cls(float(cpu), float(gpu), amounts)
