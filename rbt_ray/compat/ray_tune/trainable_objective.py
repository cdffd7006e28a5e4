"""A trainable as an objective of our engine: what a worker calls for a trial."""

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
from rbt_ray.compat.ray_tune.session import Session, TrialEnds
from rbt_ray.compat.ray_tune.settings import CheckpointConfig
from rbt_ray.compat.ray_tune.stopping import Stop
from rbt_ray.compat.ray_tune.trainable import can_save, load, one_step, save
from rbt_ray.compat.ray_tune.trainable_spec import Dressed
from rbt_ray.compat.ray_tune.trial import Naming, Trial, flat
from rbt_ray.compat.ray_tune.trial_folder import Records, Report, to_json
from rbt_ray.errors import ObjectiveResultError
from rbt_ray.objectives.reports import report as report_to_engine
from rbt_ray.objectives.reports import reports_wanted, trial_at_work
from rbt_ray.types import RESULT_COLUMNS

SAMPLE = "sample"
"""The one parameter of a study whose configs are known beforehand: the number of the sample."""
REPORTS = "tune_reports"
"""The metric that holds all reports of a trial as JSON; so the journal has them, and no worker's disk is needed."""
SHOULD_CHECKPOINT = "should_checkpoint"
_DEFAULT_METRIC = "_metric"
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


class Runner:
    """Calls a trainable, in the folder of its trial unless `RAY_CHDIR_TO_TRIAL_DIR` is 0, as Ray Tune does.

    Args:
        trainable: with what it needs.
        samples: the configs by number, where they are known beforehand; None: the engine's config is the trial's.
        naming: how trials are called, and where their folders are.
        stop: what ends a trial.
        checkpoints: which are taken and kept.
        max_failures: how often a trial that fails is tried again.
        reuse: whether an object of a class may serve several trials.
        climbs: whether our engine comes back to a config in several trials of its own.
    """

    def __init__(
        self,
        trainable: Dressed,
        samples: Sequence[Mapping[str, Any]] | None,
        naming: Naming,
        stop: Stop,
        checkpoints: CheckpointConfig,
        max_failures: int,
        *,
        reuse: bool,
        climbs: bool,
    ) -> None:
        self._trainable, self._samples, self.naming = trainable, samples, naming
        self.stop, self._checkpoints, self._max_failures = stop, checkpoints, max_failures
        self._reuse = reuse and trainable.is_class
        self._climbs = climbs
        self._kept: Any = None
        self._moves = os.environ.get("RAY_CHDIR_TO_TRIAL_DIR", "1") != "0"
        # The fingerprint of the objective is that of the user's own source, not of this class's.
        self.__wrapped__ = _written(trainable.target)
        self.__name__ = trainable.__name__
        self.__signature__ = inspect.Signature(
            [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in ("params", "data")]
        )

    def __call__(self, params: Mapping[str, Any], data: Any) -> dict[str, Any]:
        """All that the trial reports, as metrics of the last report and as JSON.

        Raises:
            ObjectiveResultError: it reports nothing.
        """
        del data
        trial = self.trial_of(params, trial_at_work())
        limit = reports_wanted()
        tries = 0
        while True:
            records = Records(trial.path, self._checkpoints)
            session = Session(trial, records, self.stop.for_trial(), limit)
            try:
                self._run(session)
                break
            except Exception:
                self._kept = None
                tries += 1
                if 0 <= self._max_failures < tries:
                    raise
        if not session.reports:
            raise ObjectiveResultError(
                f"the trainable {self.__name__} ended without a result: return a dict of metrics, or call "
                f"`tune.report({{...}})` of rbt_ray."
            )
        metrics = metrics_of(session.reports)
        if limit is not None:
            report_to_engine(metrics, share=1.0)  # it ended, or came as far as was asked for
        return metrics

    @property
    def fingerprinted(self) -> dict[str, Any]:
        """What decides its results: the trainable and its parameters, and not where the study lies."""
        return {"trainable": self._trainable.target, **self._trainable.parameters.values}

    @property
    def has_samples(self) -> bool:
        """Whether the configs are known beforehand, and trials are numbered by them."""
        return self._samples is not None

    def number_of(self, path: str) -> int:
        """The number of the sample whose trial's folder this is."""
        samples = self._samples or ()
        return next(n for n, config in enumerate(samples) if self.naming.trial(n, config).path == path)

    def trial_of(self, params: Mapping[str, Any], number: int | None) -> Trial:
        """The trial that the engine means by a config, which it evaluates in the trial of this number."""
        if self._samples is None:
            return self.naming.trial(None if self._climbs else number, params)
        sample = int(params[SAMPLE])
        return self.naming.trial(sample, self._samples[sample])

    def _run(self, session: Session) -> None:
        if session.over:
            return
        folder = session.trial.path
        try:
            with session, contextlib.chdir(folder) if self._moves else contextlib.nullcontext():
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
        except TrialEnds:
            return
        if answer is not None and not session.over:
            session.add(answer if isinstance(answer, Mapping) else {_DEFAULT_METRIC: answer}, save=None)

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
            self._let_go(trainable)

    def _object_for(self, trial: Trial) -> Any:
        kept, self._kept = self._kept, None
        if kept is not None:
            if kept.reset_config(trial.config):
                kept.config, kept._iteration, kept._trial = trial.config, 0, trial
                return kept
            kept.cleanup()
        return self._trainable.made_for(trial, trial.config)

    def _let_go(self, trainable: Any) -> None:
        if self._reuse:
            self._kept = trainable
        else:
            trainable.cleanup()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None}


def engine_name(metric: str) -> str:
    """What a metric is called in our own tables, which have a few names for themselves."""
    return f"tune/{metric}" if metric in RESULT_COLUMNS else metric


def _written(target: Any) -> Any:
    """What of a trainable has a source."""
    while isinstance(target, functools.partial):
        target = target.func
    return target if hasattr(target, "__qualname__") else type(target)


def metrics_of(reports: Sequence[Report]) -> dict[str, Any]:
    """The last report's numbers and texts, by flat names, and all reports as JSON."""
    last = flat(json.loads(to_json(reports[-1])))
    plain = {
        engine_name(name): value
        for name, value in last.items()
        if name not in _NOT_METRICS and not name.startswith("config/") and isinstance(value, (bool, int, float, str))
    }
    return {**plain, REPORTS: to_json(list(reports))}
