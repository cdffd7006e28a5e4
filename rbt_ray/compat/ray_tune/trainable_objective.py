"""A trainable as an objective of the engine."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rbt_ray import private_files
from rbt_ray.compat.ray_tune.session import DEFAULT_METRIC, SHOULD_CHECKPOINT, Session, TrialStopped
from rbt_ray.compat.ray_tune.settings import CheckpointConfig
from rbt_ray.compat.ray_tune.stopper import StopCriteria
from rbt_ray.compat.ray_tune.trainable import assign, can_save, load, one_step, save
from rbt_ray.compat.ray_tune.trainable_spec import TrainableSpec
from rbt_ray.compat.ray_tune.trial import Report, Trial, TrialFolder, TrialNaming, flatten, to_json
from rbt_ray.errors import ObjectiveResultError
from rbt_ray.objectives import reports
from rbt_ray.types import RESULT_COLUMNS

SAMPLE = "sample"
"""The only parameter of a study whose samples are drawn in advance: the number of the sample."""
REPORTS = "tune_reports"
"""The metric that holds all reports of a trial as JSON, so that the journal has them and no worker's disk is needed."""
_NOT_METRICS = {
    *(
        "trial_id",
        "pid",
        "hostname",
        "timestamp",
        "date",
        "experiment_tag",
        "done",
        "time_this_iter_s",
        "time_since_restore",
    ),
    *("iterations_since_restore", "checkpoint_dir_name", SHOULD_CHECKPOINT),
}


class TrainableObjective:
    """Runs a trainable in the folder of its trial, or in the current folder if `RAY_CHDIR_TO_TRIAL_DIR` is 0, as Ray Tune does.

    Args:
        trainable: the trainable with its parameters.
        samples: the configs by number; None: the engine's config is the trial's.
        naming: names of the trials and their folders.
        stop: what ends a trial.
        checkpoints: which checkpoints are taken and kept.
        max_failures: how often a failed trial is retried; -1: without limit.
        reuse: whether an object of a class may serve several trials.
        resumes: whether the engine may run one config in several trials of its own.
    """

    def __init__(
        self,
        trainable: TrainableSpec,
        samples: Sequence[Mapping[str, Any]] | None,
        naming: TrialNaming,
        stop: StopCriteria,
        checkpoints: CheckpointConfig,
        max_failures: int,
        *,
        reuse: bool,
        resumes: bool,
    ) -> None:
        self._trainable, self.samples, self.naming = trainable, samples, naming
        self.stop, self._checkpoints, self._max_failures = stop, checkpoints, max_failures
        self._reuse = reuse and trainable.is_class
        self.resumes = resumes
        self._reusable: Any = None
        self._changes_folder = os.environ.get("RAY_CHDIR_TO_TRIAL_DIR", "1") != "0"
        # The fingerprint of the objective is that of the user's own source, not of this class's.
        self.__wrapped__ = _source_of(trainable.target)
        self.__name__ = trainable.__name__
        self.__signature__ = inspect.Signature(
            [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in ("params", "data")]
        )

    def __call__(self, params: Mapping[str, Any], data: Any) -> dict[str, Any]:
        """Runs a trial and returns the metrics of its last report, and all reports as JSON.

        Raises:
            ObjectiveResultError: the trainable reported nothing.
        """
        del data
        trial = self.trial_for(params, reports.current_trial())
        limit = reports.report_limit()
        tries = 0
        while True:
            trial_folder = TrialFolder(trial.path, self._checkpoints)
            if self.samples is None:  # the journal has no config of a trial that has not finished
                trial_folder.write_config(trial.config)
            session = Session(trial, trial_folder, self.stop.for_trial(), limit)
            try:
                self._run(session)
                break
            except Exception:
                self._reusable = None
                tries += 1
                if 0 <= self._max_failures < tries:
                    raise
        if not session.reports:
            raise ObjectiveResultError(
                f"the trainable {self.__name__} ended without a result: return a dict of metrics, or call "
                f"`tune.report({{...}})` of rbt_ray."
            )
        metrics = final_metrics(session.reports)
        if limit is not None:
            reports.report(metrics, share=1.0)  # the trial has ended, or reached its number of reports
        return metrics

    @property
    def fingerprinted(self) -> dict[str, Any]:
        """Returns what determines the results: the trainable and its parameters, but not the study's folder."""
        return {"trainable": self._trainable.target, **self._trainable.parameters.values}

    @property
    def has_samples(self) -> bool:
        """Returns whether the samples are drawn in advance, so that trials are numbered by them."""
        return self.samples is not None

    def sample_number(self, path: str) -> int:
        """Returns the number of the sample whose trial has this folder."""
        samples = self.samples or ()
        return next(n for n, config in enumerate(samples) if self.naming.trial(n, config).path == path)

    def trial_for(self, params: Mapping[str, Any], number: int | None) -> Trial:
        """Returns the Tune trial for a config that the engine evaluates as trial `number`."""
        if self.samples is None:
            return self.naming.trial(None if self.resumes else number, params)
        sample = int(params[SAMPLE])
        return self.naming.trial(sample, self.samples[sample])

    def _run(self, session: Session) -> None:
        if session.run_ended:
            return
        folder = session.trial.path
        try:
            with session, contextlib.chdir(folder) if self._changes_folder else contextlib.nullcontext():
                if self._trainable.is_class:
                    self._run_class(session)
                else:
                    self._run_function(session)
            session.close()
        finally:
            private_files.restrict_to_owner(Path(folder))

    def _run_function(self, session: Session) -> None:
        try:
            answer = self._trainable(session.trial.config)
        except TrialStopped:
            return
        if answer is not None and not session.run_ended:
            session.add(answer if isinstance(answer, Mapping) else {DEFAULT_METRIC: answer}, save=None)

    def _run_class(self, session: Session) -> None:
        trainable = self._object_for(session.trial)
        try:
            if session.checkpoint is not None:
                load(trainable, session.checkpoint.path)
            keeps = can_save(trainable)

            def saves(result: Report, over: bool) -> bool:
                every = self._checkpoints.checkpoint_frequency
                wanted = bool(result.get(SHOULD_CHECKPOINT)) or bool(
                    every and result["training_iteration"] % every == 0
                )
                at_end = over and (bool(self._checkpoints.checkpoint_at_end) or not result["done"])
                return keeps and (wanted or at_end)

            while not session.add(one_step(trainable), save=lambda folder: save(trainable, folder), saves=saves):
                pass
        finally:
            self._release(trainable)

    def _object_for(self, trial: Trial) -> Any:
        kept, self._reusable = self._reusable, None
        if kept is not None:
            if kept.reset_config(trial.config):
                kept.config = trial.config
                assign(kept, trial)
                return kept
            kept.cleanup()
        return self._trainable.create(trial, trial.config)

    def _release(self, trainable: Any) -> None:
        if self._reuse:
            self._reusable = trainable
        else:
            trainable.cleanup()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_reusable": None}


def metric_column(metric: str) -> str:
    """Returns the metric's column in the engine's table, which reserves some names."""
    return f"tune/{metric}" if metric in RESULT_COLUMNS else metric


def _source_of(target: Any) -> Any:
    """Returns the function or class whose source defines the trainable."""
    while isinstance(target, functools.partial):
        target = target.func
    return target if hasattr(target, "__qualname__") else type(target)


def final_metrics(reports: Sequence[Report]) -> dict[str, Any]:
    """Returns the last report's numbers and strings by flat names, and all reports as JSON."""
    last = flatten(json.loads(to_json(reports[-1])))
    plain = {
        metric_column(name): value
        for name, value in last.items()
        if name not in _NOT_METRICS and not name.startswith("config/") and isinstance(value, (bool, int, float, str))
    }
    return {**plain, REPORTS: to_json(list(reports))}
