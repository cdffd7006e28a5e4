"""Callbacks of Ray Tune's kind, called as trials of ours end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbt_ray import private_files
from rbt_ray.compat.ray_tune import trial as statuses
from rbt_ray.compat.ray_tune.settings import CheckpointConfig
from rbt_ray.compat.ray_tune.trainable_objective import REPORTS, Runner
from rbt_ray.compat.ray_tune.trial import Trial
from rbt_ray.compat.ray_tune.trial_folder import CHECKPOINT_DIR, Records, Report
from rbt_ray.types import Result

if TYPE_CHECKING:
    from rbt_ray.compat.ray_tune.stopping import Stop


class Callback:
    """What happens in a study, for subclasses to act on; they run in the driver.

    A trial's reports come when it ends, or, under a scheduler, when it reaches a milestone: all at once and in order.
    What a callback changes in them changes nothing for the trial.
    """

    def setup(
        self,
        stop: Any = None,
        num_samples: int | None = None,
        total_num_samples: int | None = None,
        **info: Any,
    ) -> None:
        """Called once, at the start."""

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Called before what the next trial has to tell."""

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Called after it."""

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Called before a trial's first report."""

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Called with every report."""

    def on_trial_save(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Called after a report that came with a checkpoint."""

    def on_checkpoint(self, iteration: int, trials: list[Trial], trial: Trial, checkpoint: Any, **info: Any) -> None:
        """Called with that checkpoint."""

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Called when a trial has ended, or will not be taken further."""

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Called when a trial has failed."""

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Called once, at the end."""


class StopAll(Exception):  # noqa: N818  a way out, not an error
    """A stopper ends the study."""


class Bridge:
    """Is told of our results, and calls users' callbacks.

    Args:
        callbacks: theirs.
        stopper: what may end the study; None: nothing.
        runner: knows whose result one is.
        checkpoints: what the trials' folders keep.
        scheduled: whether trials may be taken further after a result.
    """

    def __init__(
        self,
        callbacks: Sequence[Any],
        stopper: Any,
        runner: Runner,
        checkpoints: CheckpointConfig,
        *,
        scheduled: bool,
    ) -> None:
        self._callbacks, self._stopper, self._runner = callbacks, stopper, runner
        self._checkpoints, self._scheduled = checkpoints, scheduled
        self._trials: dict[str, Trial] = {}
        self._told: dict[str, int] = {}
        self._iteration = 0

    def setup(self, stop: Stop, n_samples: int | None) -> None:
        """The study starts."""
        for callback in self._callbacks:
            if hasattr(callback, "setup"):
                callback.setup(stop=stop, num_samples=n_samples, total_num_samples=n_samples)

    def on_trial_complete(self, result: Result) -> None:
        """See `RunConfig.callbacks` of ours: a trial of the engine ended.

        Raises:
            StopAll: a stopper says so.
        """
        trial = self._runner.trial_of(result.config, result.trial_id)
        trial = self._trials.setdefault(trial.trial_id, trial)
        self._iteration += 1
        records = Records(trial.path, self._checkpoints)
        reports = reports_of(result, records)
        self._call("on_step_begin")
        if trial.trial_id not in self._told:
            trial.status = statuses.RUNNING
            self._call("on_trial_start", trial=trial)
        for report in reports[self._told.get(trial.trial_id, 0) :]:
            self._tell(trial, report, records)
        self._told[trial.trial_id] = max(len(reports), self._told.get(trial.trial_id, 0))
        if result.error is not None:
            trial.status, trial.error = statuses.ERROR, result.error
            self._call("on_trial_error", trial=trial)
            self._close_to_others(trial)
        elif not self._scheduled or trial.last_result.get("done") or result.fidelity == 1:
            self._complete(trial)
        self._call("on_step_end")
        if self._stopper is not None and self._stopper.stop_all():
            raise StopAll

    def end(self) -> None:
        """The study has ended."""
        for trial in self._trials.values():
            if trial.status == statuses.RUNNING:
                self._complete(trial)
        for callback in self._callbacks:
            if hasattr(callback, "on_experiment_end"):
                callback.on_experiment_end(trials=list(self._trials.values()))

    def _tell(self, trial: Trial, report: Report, records: Records) -> None:
        trial.last_result = {**report, "config": trial.config}
        if self._stopper is not None:
            self._stopper(trial.trial_id, trial.last_result)
        self._call("on_trial_result", trial=trial, result=dict(trial.last_result))
        if report.get(CHECKPOINT_DIR) and (checkpoint := records.checkpoint(report)) is not None:
            trial.checkpoint = checkpoint
            self._call("on_trial_save", trial=trial)
            self._call("on_checkpoint", trial=trial, checkpoint=checkpoint)

    def _complete(self, trial: Trial) -> None:
        if trial.status != statuses.TERMINATED:
            trial.status = statuses.TERMINATED
            self._call("on_trial_complete", trial=trial)
            self._close_to_others(trial)

    def _close_to_others(self, trial: Trial) -> None:
        """Files that callbacks have written, such as TensorBoard's, have the mode that the umask gave them."""
        if self._callbacks:
            private_files.restrict_to_owner(Path(trial.path))

    def _call(self, name: str, **told: Any) -> None:
        for callback in self._callbacks:
            if (call := getattr(callback, name, None)) is not None:
                call(iteration=self._iteration, trials=list(self._trials.values()), **told)


def reports_of(result: Result, records: Records) -> list[Report]:
    """All that a trial reported: from the journal; of one that failed, what its folder has."""
    held: Mapping[str, Any] = result.metrics
    if REPORTS in held:
        reports: list[Report] = json.loads(held[REPORTS])
        return reports
    return records.read()[0]
