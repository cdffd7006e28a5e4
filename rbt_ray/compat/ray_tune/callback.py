"""Ray Tune's callbacks, called as trials end."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbt_ray import private_files
from rbt_ray.compat.ray_tune.settings import CheckpointConfig
from rbt_ray.compat.ray_tune.trainable_objective import REPORTS, TrainableObjective
from rbt_ray.compat.ray_tune.trial import CHECKPOINT_DIR, ERROR, RUNNING, TERMINATED, Report, Trial, TrialFolder
from rbt_ray.types import Result

if TYPE_CHECKING:
    from rbt_ray.compat.ray_tune.stopper import StopCriteria


class Callback:
    """Base class of callbacks, which run in the driver.

    A callback receives all reports of a trial in order when the trial ends or, under a scheduler, when it reaches a
    milestone. Changing a report does not affect the trial.
    """

    def setup(
        self,
        stop: Any = None,
        num_samples: int | None = None,
        total_num_samples: int | None = None,
        **info: Any,
    ) -> None:
        """Called once, when the study starts."""

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Called before the reports of the next trial."""

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Called after the reports of that trial."""

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Called before a trial's first report."""

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Called for each report."""

    def on_trial_save(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Called after a report with a checkpoint."""

    def on_checkpoint(self, iteration: int, trials: list[Trial], trial: Trial, checkpoint: Any, **info: Any) -> None:
        """Called with that checkpoint."""

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Called when a trial has finished or was stopped."""

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Called when a trial has failed."""

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Called once, when the study ends."""


class StudyStopped(Exception):  # noqa: N818  control flow, not an error
    """Raised when a stopper ends the study."""


class CallbackDispatcher:
    """Calls users' callbacks and stoppers with the results of the engine.

    Args:
        callbacks: the users' callbacks.
        objective: maps a result to its trial.
        checkpoints: which checkpoints trials keep.
        scheduled: whether a trial may continue after a result.
    """

    def __init__(
        self,
        callbacks: Sequence[Any],
        objective: TrainableObjective,
        checkpoints: CheckpointConfig,
        *,
        scheduled: bool,
    ) -> None:
        self._callbacks, self._objective = callbacks, objective
        self._checkpoints, self._scheduled = checkpoints, scheduled

    def setup(self, stop: StopCriteria, n_samples: int | None) -> None:
        """Starts a run of the study.

        Args:
            stop: the stop criteria.
            n_samples: how many trials there are; None: unknown.
        """
        self._stopper: Any = stop.for_study()
        self._trials: dict[str, Trial] = {}
        self._n_reported: dict[str, int] = {}
        self._iteration = 0
        for callback in self._callbacks:
            if hasattr(callback, "setup"):
                callback.setup(stop=stop, num_samples=n_samples, total_num_samples=n_samples)

    def on_trial_complete(self, result: Result) -> None:
        """Handles a finished trial of the engine; see `rbt.RunConfig.callbacks`.

        Raises:
            StudyStopped: a stopper ends the study.
        """
        trial = self._objective.trial_for(result.config, result.trial_id)
        trial = self._trials.setdefault(trial.trial_id, trial)
        self._iteration += 1
        self._call("on_step_begin")
        self._report_new(trial, reports_of(result, TrialFolder(trial.path, self._checkpoints)))
        if result.error is not None:
            trial.status, trial.error = ERROR, result.error
            self._call("on_trial_error", trial=trial)
            self._close_to_others(trial)
        elif not self._scheduled or trial.last_result.get("done") or result.fidelity == 1:
            self._complete(trial)
        self._call("on_step_end")
        if self._stopper is not None and self._stopper.stop_all():
            raise StudyStopped

    @property
    def completed(self) -> set[str]:
        """The ids of the trials that have ended."""
        return {trial_id for trial_id, trial in self._trials.items() if trial.status in (TERMINATED, ERROR)}

    def end(self, unfinished: Iterable[tuple[Trial, list[Report]]] = ()) -> None:
        """Ends the study.

        Args:
            unfinished: the trials that were running when the study stopped, with their reports.
        """
        for trial, reports in unfinished:
            self._report_new(self._trials.setdefault(trial.trial_id, trial), reports)
        for trial in self._trials.values():
            if trial.status == RUNNING:
                self._complete(trial)
        for callback in self._callbacks:
            if hasattr(callback, "on_experiment_end"):
                callback.on_experiment_end(trials=list(self._trials.values()))

    def _report_new(self, trial: Trial, reports: list[Report]) -> None:
        """Passes on the reports that callbacks have not received."""
        trial_folder = TrialFolder(trial.path, self._checkpoints)
        if trial.trial_id not in self._n_reported:
            trial.status = RUNNING
            self._call("on_trial_start", trial=trial)
        for report in reports[self._n_reported.get(trial.trial_id, 0) :]:
            self._report(trial, report, trial_folder)
        self._n_reported[trial.trial_id] = max(len(reports), self._n_reported.get(trial.trial_id, 0))

    def _report(self, trial: Trial, report: Report, trial_folder: TrialFolder) -> None:
        trial.last_result = {**report, "config": trial.config}
        if self._stopper is not None:
            self._stopper(trial.trial_id, trial.last_result)
        self._call("on_trial_result", trial=trial, result=dict(trial.last_result))
        if report.get(CHECKPOINT_DIR) and (checkpoint := trial_folder.checkpoint(report)) is not None:
            trial.checkpoint = checkpoint
            self._call("on_trial_save", trial=trial)
            self._call("on_checkpoint", trial=trial, checkpoint=checkpoint)

    def _complete(self, trial: Trial) -> None:
        if trial.status != TERMINATED:
            trial.status = TERMINATED
            self._call("on_trial_complete", trial=trial)
            self._close_to_others(trial)

    def _close_to_others(self, trial: Trial) -> None:
        """Removes other users' access to files that callbacks have written, such as TensorBoard's."""
        if self._callbacks:
            private_files.restrict_to_owner(Path(trial.path))

    def _call(self, name: str, **info: Any) -> None:
        for callback in self._callbacks:
            if (call := getattr(callback, name, None)) is not None:
                call(iteration=self._iteration, trials=list(self._trials.values()), **info)


def reports_of(result: Result, trial_folder: TrialFolder) -> list[Report]:
    """Returns all reports of a trial: from the journal, or from its folder if it failed."""
    held: Mapping[str, Any] = result.metrics
    reports: list[Report] = json.loads(held[REPORTS]) if REPORTS in held else trial_folder.read()[0]
    return reports
