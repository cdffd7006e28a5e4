"""Running trials, and what a function trainable calls: `report`, `get_checkpoint`, `get_context`."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from rbt_ray.compat.ray_tune.checkpoint import Checkpoint
from rbt_ray.compat.ray_tune.stopper import StopCheck
from rbt_ray.compat.ray_tune.trial import CHECKPOINT_DIR, Report, Trial, TrialFolder
from rbt_ray.errors import SettingError

SHOULD_CHECKPOINT = "should_checkpoint"
DONE = "done"
TRAINING_ITERATION = "training_iteration"
TIME_THIS_ITER_S = "time_this_iter_s"
TIME_TOTAL_S = "time_total_s"
TIMESTAMP = "timestamp"
TRIAL_ID = "trial_id"
EXPERIMENT_TAG = "experiment_tag"
HOSTNAME = "hostname"
PID = "pid"
DEFAULT_METRIC = "_metric"
MEAN_LOSS = "mean_loss"
MEAN_ACCURACY = "mean_accuracy"
EPISODE_REWARD_MEAN = "episode_reward_mean"


class TrialStopped(BaseException):
    """Raised to end a function trainable after its last report; an `except Exception` in it does not catch this."""


class Session:
    """A run of a trial: from its start or latest checkpoint, to its end or the number of reports that the search needs.

    Args:
        trial: the trial.
        trial_folder: the trial's folder.
        ends: whether a report meets the stop criteria.
        limit: number of reports after which the run pauses; None: run to the trial's end.
    """

    def __init__(self, trial: Trial, trial_folder: TrialFolder, ends: StopCheck, limit: int | None) -> None:
        self.trial, self.trial_folder, self.limit = trial, trial_folder, limit
        self._ends = ends
        known, self.ended = trial_folder.read()
        self.run_ended = self.ended or (limit is not None and len(known) >= limit)
        self.checkpoint: Checkpoint | None = None
        if self.run_ended:  # an earlier run got this far
            self.reports = known if limit is None else known[:limit]
            return
        n_done, self.checkpoint = trial_folder.latest(known) or (0, None)
        self.reports = known[:n_done]
        for result in self.reports:
            ends(trial.trial_id, result)
        trial_folder.begin(self.reports)
        self._before = float(self.reports[-1]["time_total_s"]) if self.reports else 0.0
        self._began = self._last = time.time()
        self._n_before = n_done

    def add(
        self,
        metrics: Mapping[str, Any],
        *,
        save: Callable[[str], Any] | None = None,
        saves: Callable[[Report, bool], bool] = lambda _result, _over: True,
    ) -> bool:
        """Adds a report and returns whether it is the last of this run.

        Args:
            metrics: the reported metrics.
            save: writes a checkpoint into a folder.
            saves: whether to write one, given the report and whether it is the last.
        """
        number, now = len(self.reports) + 1, time.time()
        result: Report = {
            "training_iteration": number,
            "time_this_iter_s": now - self._last,
            "time_total_s": self._before + now - self._began,
            "time_since_restore": now - self._began,
            "iterations_since_restore": number - self._n_before,
            "timestamp": int(now),
            "date": datetime.fromtimestamp(now).strftime("%Y-%m-%d_%H-%M-%S"),
            "pid": os.getpid(),
            "hostname": socket.gethostname(),
            "trial_id": self.trial.trial_id,
            "experiment_tag": self.trial.experiment_tag,
            "done": False,
            **metrics,
            CHECKPOINT_DIR: None,
        }
        self._last = now
        self.ended = self._ends(self.trial.trial_id, result) or bool(result["done"])
        result["done"] = self.ended
        self.run_ended = self.ended or number == self.limit
        if save is not None and saves(result, self.run_ended):
            stored = self.trial_folder.store(number, save)
            self.checkpoint, result[CHECKPOINT_DIR] = Checkpoint(stored), stored.name
        self.reports.append(result)
        self.trial_folder.add(result)
        self.trial_folder.prune(self.reports)
        return self.run_ended

    def close(self) -> None:
        """Ends the run after the trainable has returned or was stopped."""
        if not self.run_ended:
            self.ended = True
        if self.ended and self.reports:
            self.reports[-1]["done"] = True
            self.trial_folder.end()

    def __enter__(self) -> Session:
        global _current
        _current = self
        return self

    def __exit__(self, *_: object) -> None:
        global _current
        _current = None


_current: Session | None = None
"""The session of the running trial: a worker runs one at a time."""


def report(metrics: Mapping[str, Any] | None = None, *, checkpoint: Any = None, **named: Any) -> None:
    """Reports the metrics of an iteration, optionally with a checkpoint; does nothing outside a trial.

    Args:
        metrics: numbers, strings, or dicts of them, by name.
        checkpoint: a `Checkpoint`; its folder is copied to the trial's folder.
        named: more metrics, as in older scripts.

    Raises:
        SettingError: `metrics` is not a dict.
    """
    if metrics is not None and not isinstance(metrics, Mapping):
        raise SettingError(f"`tune.report` needs a dict of metrics; got {metrics!r} of type {type(metrics).__name__}.")
    if _current is None:
        return
    if _current.run_ended:
        raise TrialStopped
    save = None
    if checkpoint is not None:
        source = str(checkpoint.path)

        def save(folder: str) -> None:
            shutil.copytree(source, folder, dirs_exist_ok=True)

    if _current.add({**(metrics or {}), **named}, save=save):
        raise TrialStopped


def get_checkpoint() -> Checkpoint | None:
    """Returns the checkpoint of this trial to continue from; None: begin at the start."""
    return None if _current is None else _current.checkpoint


class TuneContext:
    """Information about the running trial, for function trainables."""

    def get_trial_id(self) -> str | None:
        """Returns the trial's id."""
        return None if _current is None else _current.trial.trial_id

    def get_trial_name(self) -> str | None:
        """Returns the trial's name."""
        return None if _current is None else str(_current.trial)

    def get_trial_dir(self) -> str | None:
        """Returns the trial's folder, in which the trainable may write."""
        if _current is None:
            return None
        _current.trial.init_local_path()
        return _current.trial.path

    def get_experiment_name(self) -> str | None:
        """Returns the study's name."""
        return None if _current is None else Path(_current.trial.experiment_path).name


def get_context() -> TuneContext:
    """Returns the context of the running trial."""
    return TuneContext()
