"""Callbacks are called in order; loggers write files that their libraries can read."""

import csv
import json
from pathlib import Path

import pytest

from rbt_ray import tune
from rbt_ray.tune import logger
from rbt_ray.tune.schedulers import ASHAScheduler
from tests.compat.ray_tune.trainables import line

SPACE = {"x": tune.grid_search([3, 1, 2]), "until": 3, "saves": True}


class Notes(tune.Callback):
    def __init__(self):
        self.calls = []

    def setup(self, **info):
        self.calls.append(("setup", info["total_num_samples"]))

    def on_trial_start(self, iteration, trials, trial, **info):
        self.calls.append(("start", trial.trial_id))
        assert trial in trials

    def on_trial_result(self, iteration, trials, trial, result, **info):
        self.calls.append(("result", trial.trial_id, result["step"], result["config"]["x"]))

    def on_checkpoint(self, iteration, trials, trial, checkpoint, **info):
        self.calls.append(("checkpoint", trial.trial_id, json.loads(Path(checkpoint.path, "step.json").read_text())))

    def on_trial_complete(self, iteration, trials, trial, **info):
        self.calls.append(("complete", trial.trial_id, trial.last_result["step"]))

    def on_trial_error(self, iteration, trials, trial, **info):
        self.calls.append(("error", trial.trial_id))

    def on_experiment_end(self, trials, **info):
        self.calls.append(("end", len(trials)))


def broken(config):
    tune.report({"score": 1, "step": 1})
    raise ValueError


def test_callbacks_get_every_report_once_and_in_order(fit):
    notes = Notes()
    results = fit(line, SPACE, metric="score", mode="max", callbacks=[notes])
    assert notes.calls[0] == ("setup", 3)
    assert notes.calls[-1] == ("end", 3)
    for result in results:
        name = result.metrics["trial_id"]
        x = result.config["x"]
        mine = [call[:1] + call[2:] for call in notes.calls if call[1] == name]
        steps = [[("result", n, x), ("checkpoint", n)] for n in (1, 2, 3)]
        assert mine == [("start",), *[call for pair in steps for call in pair], ("complete", 3)]


def test_under_a_scheduler_a_trial_completes_once(fit):
    notes = Notes()
    scheduler = ASHAScheduler(max_t=3, reduction_factor=2)
    results = fit(line, {**SPACE, "until": 9}, metric="score", mode="min", callbacks=[notes], scheduler=scheduler)
    for result in results:
        name, n = result.metrics["trial_id"], result.metrics["training_iteration"]
        mine = [call for call in notes.calls if call[1] == name]
        assert [call[2] for call in mine if call[0] == "result"] == list(range(1, n + 1))
        assert [call[0] for call in mine].count("complete") == 1


def test_callbacks_get_failures(fit):
    notes = Notes()
    fit(broken, {"x": 0}, metric="score", mode="max", callbacks=[notes])
    assert [call[0] for call in notes.calls] == ["setup", "start", "result", "error", "end"]


def test_csv_and_json_hold_every_report(fit):
    callbacks = [logger.CSVLoggerCallback(), logger.JsonLoggerCallback()]
    for result in fit(line, SPACE, metric="score", mode="max", callbacks=callbacks):
        with Path(result.path, "progress.csv").open() as file:
            assert [int(row["step"]) for row in csv.DictReader(file)] == [1, 2, 3]
        lines = [json.loads(text) for text in Path(result.path, "result.json").read_text().splitlines()]
        assert [report["step"] for report in lines] == [1, 2, 3]
        assert lines[-1]["config"] == result.config == json.loads(Path(result.path, "params.json").read_text())


def test_tensorboard_reads_what_tensorboardx_wrote(fit):
    from tensorboardX.event_file_writer import EventFileWriter  # noqa: F401  installed with ray[tune]
    from tensorboardX.proto.event_pb2 import Event

    for result in fit(line, SPACE, metric="score", mode="max", callbacks=[logger.TBXLoggerCallback()]):
        (file,) = Path(result.path).glob("events.out.tfevents.*")
        data, found = file.read_bytes(), {}
        while data:  # TFRecord: length, its checksum, the event, its checksum
            length = int.from_bytes(data[:8], "little")
            event = Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
        assert found["ray/tune/step"] == [(1, 1.0), (2, 2.0), (3, 3.0)]


@pytest.mark.slow
def test_mlflow_has_a_run_for_each_trial(fit, tmp_path):
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    into = logger.MLflowLoggerCallback(uri, experiment_name="mine", tags={"desk": "fx"})
    results = fit(line, SPACE, metric="score", mode="max", callbacks=[into])
    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
    assert sorted(run.data.params["x"] for run in runs) == ["1", "2", "3"]
    for run in runs:
        (result,) = [one for one in results if str(one.config["x"]) == run.data.params["x"]]
        assert run.info.status == "FINISHED"
        assert run.data.tags["desk"] == "fx"
        assert run.data.metrics["score"] == result.metrics["score"]
        assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "step")] == [
            (1, 1),
            (2, 2),
            (3, 3),
        ]

    fit(broken, {"x": 0}, metric="score", mode="max", name="broken", callbacks=[logger.MLflowLoggerCallback(uri)])
    (run,) = client.search_runs([client.get_experiment_by_name("rbt_ray").experiment_id])
    assert run.info.status == "FAILED"


def test_rays_own_loggers_are_called(fit):
    from ray.tune.logger import CSVLoggerCallback, JsonLoggerCallback

    for result in fit(line, SPACE, metric="score", mode="max", callbacks=[CSVLoggerCallback(), JsonLoggerCallback()]):
        assert len(Path(result.path, "result.json").read_text().splitlines()) == 3
        assert len(Path(result.path, "progress.csv").read_text().splitlines()) == 4
