"""Ray Tune's settings by their names and defaults, checked when they are made."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar

from rbt_ray.errors import NotSupportedError, SettingError

T = TypeVar("T")


@dataclass
class CheckpointConfig:
    """Which checkpoints are taken and kept.

    Args:
        num_to_keep: how many of a trial stay, beside the latest; None: all.
        checkpoint_score_attribute: the metric by which the best stay; None: the latest do.
        checkpoint_score_order: "max" or "min".
        checkpoint_frequency: iterations of a class between checkpoints; 0: none.
        checkpoint_at_end: whether a class leaves one at its end.
    """

    num_to_keep: int | None = None
    checkpoint_score_attribute: str | None = None
    checkpoint_score_order: str | None = "max"
    checkpoint_frequency: int | None = 0
    checkpoint_at_end: bool | None = None

    def __post_init__(self) -> None:
        if self.num_to_keep is not None and self.num_to_keep <= 0:
            raise SettingError(f"`num_to_keep` is None or a whole number above 0; got {self.num_to_keep!r}.")
        if self.checkpoint_score_order not in ("max", "min"):
            raise SettingError(f"`checkpoint_score_order` is 'max' or 'min'; got {self.checkpoint_score_order!r}.")
        if (self.checkpoint_frequency or 0) < 0:
            raise SettingError(f"`checkpoint_frequency` is 0 or more; got {self.checkpoint_frequency!r}.")


@dataclass
class FailureConfig:
    """What happens when a trial fails.

    Args:
        max_failures: how often it is tried again, from its latest checkpoint; -1: for ever.
        fail_fast: True: the first failure ends the study; "raise": it is raised by `fit` too.
    """

    max_failures: int = 0
    fail_fast: bool | str = False

    def __post_init__(self) -> None:
        if not (isinstance(self.fail_fast, bool) or str(self.fail_fast).lower() == "raise"):
            raise SettingError(f"`fail_fast` is True, False or 'raise'; got {self.fail_fast!r}.")
        if self.fail_fast and self.max_failures != 0:
            raise SettingError(f"`max_failures` is 0 where `fail_fast` is set; got {self.max_failures!r}.")


@dataclass
class SyncConfig:
    """Taken and not used: a study at a URI mirrors its journal by itself (`mirror_interval_s` of `rbt.RunConfig`)."""

    sync_period: int = 300
    sync_timeout: int = 1800
    sync_artifacts: bool = False
    sync_artifacts_on_checkpoint: bool = True


@dataclass
class TuneConfig:
    """What is searched, and how; as Ray Tune has it, and `seed`.

    Args:
        metric: reported by the trainable.
        mode: "min" or "max".
        search_alg: None or "random": samples in Tune's order; "bohb", "tpe", "sobol", `rbt.BOHB(...)`, an Optuna sampler, or a
            searcher of Ray Tune's.
        scheduler: one of `rbt_ray.tune.schedulers`, or Ray Tune's own of that kind.
        num_samples: how often the space is sampled; each combination of its grids as often.
        max_concurrent_trials: at most so many workers, and so many trials that a searcher is asked for ahead of results;
            None or 0: a worker a processor, and 8 trials for searchers of Ray Tune's.
        time_budget_s: seconds, or a timedelta, after which the study stops.
        reuse_actors: a class's object serves the next trial if its `reset_config` says so; workers stay in any case.
        trial_name_creator: from a trial to its name.
        trial_dirname_creator: from a trial to the name of its folder.
        seed: what is drawn follows from it; None draws one.
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

    def __post_init__(self) -> None:
        if self.mode not in (None, "min", "max"):
            raise SettingError(f"`mode` is 'min' or 'max'; got {self.mode!r}.")
        n = self.num_samples
        if isinstance(n, bool) or not isinstance(n, int) or (n < 1 and n != -1):
            raise SettingError(f"`num_samples` is a whole number above 0, or -1; got {n!r}.")
        if self.max_concurrent_trials is not None and self.max_concurrent_trials < 0:
            raise SettingError(f"`max_concurrent_trials` is 0 or more; got {self.max_concurrent_trials!r}.")

    @property
    def budget_seconds(self) -> float | None:
        """`time_budget_s` in seconds."""
        budget = self.time_budget_s
        return budget.total_seconds() if isinstance(budget, timedelta) else budget


@dataclass
class RunConfig:
    """Where and how a study is run; as Ray Tune has it, and what `rbt.RunConfig` says of `backend` and the like.

    Args:
        name: the study's folder; None makes one of the trainable's name and the time.
        storage_path: where studies are kept; None: ``~/ray_results``.
        storage_filesystem: not supported; give `storage_path` as a URI.
        failure_config: what happens when a trial fails.
        checkpoint_config: which checkpoints are taken and kept.
        sync_config: not used.
        verbose: 0: quiet; else progress on stderr.
        stop: a dict of metrics and the values that end a trial, a function of (trial_id, result), or a `Stopper`.
        callbacks: objects such as `Callback`.
        progress_reporter: not used: progress is shown as rbt_ray does.
        log_to_file: not supported: what trainables print goes to stderr.
        backend: as in `rbt.RunConfig`.
        address: as in `rbt.RunConfig`.
        num_workers: as in `rbt.RunConfig`.
        trial_timeout_s: as in `rbt.RunConfig`.
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
    backend: Literal["auto", "local", "ray"] = "auto"
    address: str | None = None
    num_workers: int | None = None
    trial_timeout_s: float | None = None

    def __post_init__(self) -> None:
        if self.storage_filesystem is not None:
            raise NotSupportedError(
                "`storage_filesystem` is not supported; give `storage_path` as a URI such as 's3://bucket/studies'."
            )
        if self.log_to_file:
            raise NotSupportedError(
                "`log_to_file` is not supported: what trainables print goes to stderr, on Ray into Ray's logs."
            )
        self.storage_path = str(self.storage_path or Path.home() / "ray_results")
        self.failure_config = to_settings(FailureConfig, self.failure_config)
        self.checkpoint_config = to_settings(CheckpointConfig, self.checkpoint_config)


def to_settings(kind: type[T], given: Any) -> T:
    """The settings given, or the defaults; Ray Tune's own object of the same name is read field by field."""
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
    """What a trial takes, as `with_resources` says.

    Args:
        cpu: processors.
        gpu: graphics cards.
        others: Ray's other resources by name.
    """

    cpu: float = 1.0
    gpu: float = 0.0
    others: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Any) -> Resources:
        """What a dict such as ``{"cpu": 2, "gpu": 1}`` asks for.

        Raises:
            NotSupportedError: it is a placement group, or a function of the config.
            SettingError: it is no dict of amounts.
        """
        if given is None:
            return cls()
        if not isinstance(given, Mapping):
            raise NotSupportedError(
                f"`with_resources` takes a dict such as {{'cpu': 2}} that holds for all trials, since workers stay from "
                f"trial to trial; got {given!r}."
            )
        amounts = {
            str(name).lower() if str(name).lower() in ("cpu", "gpu") else str(name): n for name, n in given.items()
        }
        for name, amount in amounts.items():
            if isinstance(amount, bool) or not isinstance(amount, (int, float)) or amount < 0:
                raise SettingError(f"`with_resources`: {name!r} is an amount of 0 or more; got {amount!r}.")
        cpu, gpu = amounts.pop("cpu", 1.0), amounts.pop("gpu", 0.0)
        return cls(float(cpu), float(gpu), amounts)
