"""Callbacks that log reports: CSV, JSON, TensorBoard, MLflow."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from rbt_ray import private_files
from rbt_ray.compat.ray_tune.callback import Callback
from rbt_ray.compat.ray_tune.trial import Trial, flatten, to_json
from rbt_ray.errors import NotSupportedError

__all__ = [
    "CSVLoggerCallback",
    "JsonLoggerCallback",
    "LoggerCallback",
    "MLflowLoggerCallback",
    "TBXLoggerCallback",
]


class LoggerCallback(Callback):
    """Base class of loggers; subclasses override the `log_*` methods."""

    def log_trial_start(self, trial: Trial) -> None:
        """Called before a trial's first report."""

    def log_trial_result(self, iteration: int, trial: Trial, result: dict[str, Any]) -> None:
        """Called for each report."""

    def log_trial_save(self, trial: Trial) -> None:
        """Called after a report with a checkpoint."""

    def log_trial_end(self, trial: Trial, failed: bool = False) -> None:
        """Called when a trial has ended."""

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_info: Any) -> None:  # noqa: ARG002, D102
        self.log_trial_start(trial)

    def on_trial_result(  # noqa: D102
        self,
        iteration: int,
        trials: list[Trial],  # noqa: ARG002  the protocol's
        trial: Trial,
        result: dict[str, Any],
        **_info: Any,
    ) -> None:
        self.log_trial_result(iteration, trial, result)

    def on_trial_save(self, iteration: int, trials: list[Trial], trial: Trial, **_info: Any) -> None:  # noqa: ARG002, D102
        self.log_trial_save(trial)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **_info: Any) -> None:  # noqa: ARG002, D102
        self.log_trial_end(trial, failed=False)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_info: Any) -> None:  # noqa: ARG002, D102
        self.log_trial_end(trial, failed=True)


class CSVLoggerCallback(LoggerCallback):
    """Writes ``progress.csv`` to each trial's folder: one row per report, with the columns of the first report."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[IO[str], csv.DictWriter[str]]] = {}

    def log_trial_result(self, iteration: int, trial: Trial, result: dict[str, Any]) -> None:  # noqa: ARG002
        """Adds a row."""
        row = flatten({name: value for name, value in result.items() if name != "config"})
        if trial.trial_id not in self._files:
            trial.init_local_path()
            private_files.write(Path(trial.path, "progress.csv"), "")
            file: IO[str] = Path(trial.path, "progress.csv").open("a", newline="")  # noqa: SIM115  open until the trial ends
            writer = csv.DictWriter(file, list(row), extrasaction="ignore")
            writer.writeheader()
            self._files[trial.trial_id] = file, writer
        file, writer = self._files[trial.trial_id]
        writer.writerow(row)
        file.flush()

    def log_trial_end(self, trial: Trial, failed: bool = False) -> None:  # noqa: ARG002
        """Closes the file."""
        if trial.trial_id in self._files:
            self._files.pop(trial.trial_id)[0].close()


class JsonLoggerCallback(LoggerCallback):
    """Writes ``params.json``, the config, and ``result.json``, one line per report, to each trial's folder."""

    def __init__(self) -> None:
        self._begun: set[str] = set()

    def log_trial_result(self, iteration: int, trial: Trial, result: dict[str, Any]) -> None:  # noqa: ARG002
        """Adds a line."""
        if trial.trial_id not in self._begun:
            self._begun.add(trial.trial_id)
            trial.init_local_path()
            params = json.loads(to_json(trial.config))
            private_files.write(Path(trial.path, "params.json"), json.dumps(params, indent=2, sort_keys=True))
            private_files.write(Path(trial.path, "result.json"), "")
        private_files.append(Path(trial.path, "result.json"), f"{to_json(result)}\n")


class TBXLoggerCallback(LoggerCallback):
    """Writes TensorBoard files to each trial's folder with tensorboardX: one scalar per number.

    Raises:
        NotSupportedError: tensorboardX is not installed.
    """

    def __init__(self) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise NotSupportedError("TBXLoggerCallback needs tensorboardX: `pip install tensorboardX`.") from None
        self._make = SummaryWriter
        self._writers: dict[str, Any] = {}

    def log_trial_result(self, iteration: int, trial: Trial, result: dict[str, Any]) -> None:  # noqa: ARG002
        """Writes the report's numbers as "ray/tune/<name>" at the trial's iteration."""
        if trial.trial_id not in self._writers:
            trial.init_local_path()
            self._writers[trial.trial_id] = self._make(trial.path, flush_secs=30)
        for name, value in _numbers(result).items():
            self._writers[trial.trial_id].add_scalar(
                f"ray/tune/{name}", value, global_step=result["training_iteration"]
            )

    def log_trial_end(self, trial: Trial, failed: bool = False) -> None:  # noqa: ARG002
        """Closes the file."""
        if trial.trial_id in self._writers:
            self._writers.pop(trial.trial_id).close()


class MLflowLoggerCallback(LoggerCallback):
    """Logs each trial as an MLflow run: its config as parameters, its numbers as metrics.

    Args:
        tracking_uri: where MLflow keeps runs; None: its default.
        registry_uri: where MLflow keeps models; None: its default.
        experiment_name: the experiment; created if missing.
        tags: tags of every run.
        tracking_token: the server's token.
        save_artifact: whether to log the trial's folder at its end.
        log_params_on_trial_end: whether to log parameters at the end instead of the start.

    Raises:
        NotSupportedError: mlflow is not installed.
    """

    def __init__(
        self,
        tracking_uri: str | None = None,
        *,
        registry_uri: str | None = None,
        experiment_name: str | None = None,
        tags: Mapping[str, Any] | None = None,
        tracking_token: str | None = None,
        save_artifact: bool = False,
        log_params_on_trial_end: bool = False,
    ) -> None:
        try:
            import mlflow
        except ImportError:
            raise NotSupportedError("MLflowLoggerCallback needs mlflow: `pip install mlflow`.") from None
        if tracking_token is not None:
            import os

            os.environ["MLFLOW_TRACKING_TOKEN"] = tracking_token
        self._client = mlflow.tracking.MlflowClient(tracking_uri, registry_uri)
        self._name, self._tags = experiment_name or "rbt_ray", dict(tags or {})
        self._save_artifact, self._late = save_artifact, log_params_on_trial_end
        self._runs: dict[str, str] = {}

    def log_trial_start(self, trial: Trial) -> None:
        """Starts a run."""
        found = self._client.get_experiment_by_name(self._name)
        experiment = self._client.create_experiment(self._name) if found is None else found.experiment_id
        tags = {**self._tags, "trial_name": str(trial), "mlflow.runName": str(trial)}
        self._runs[trial.trial_id] = self._client.create_run(experiment, tags=tags).info.run_id
        if not self._late:
            self._log_params(trial)

    def log_trial_result(self, iteration: int, trial: Trial, result: dict[str, Any]) -> None:  # noqa: ARG002
        """Logs the report's numbers."""
        for name, value in _numbers(result).items():
            self._client.log_metric(self._runs[trial.trial_id], name, value, step=result["training_iteration"])

    def log_trial_end(self, trial: Trial, failed: bool = False) -> None:
        """Ends the run."""
        run = self._runs.pop(trial.trial_id)
        if self._late:
            self._log_params(trial, run)
        if self._save_artifact:
            self._client.log_artifacts(run, trial.path)
        self._client.set_terminated(run, "FAILED" if failed else "FINISHED")

    def _log_params(self, trial: Trial, run: str | None = None) -> None:
        for name, value in flatten(trial.config).items():
            self._client.log_param(run or self._runs[trial.trial_id], name, value)


def _numbers(result: Mapping[str, Any]) -> dict[str, float]:
    values = flatten({name: value for name, value in result.items() if name != "config"})
    return {name: float(v) for name, v in values.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
