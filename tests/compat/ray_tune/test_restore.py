"""A `kill -9` of the driver loses no finished trial; a running one continues from its checkpoint."""

import contextlib
import json
import os
import re
import runpy
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rbt_ray import tune
from rbt_ray.errors import StudyMismatchError, StudyNotFoundError
from tests.compat.ray_tune.trainables import Line, climb, line

SCRIPT = """
import json, os, sys, tempfile, time
from pathlib import Path
from rbt_ray import tune

LOG = Path("ran.log").absolute()

def train(config):
    step = 0
    if checkpoint := tune.get_checkpoint():
        step = json.loads(Path(checkpoint.path, "step.json").read_text())
    for n in range(step, 5):
        with open(LOG, "a") as log:
            log.write(f"{config['x']} {n}\\n")
        time.sleep(0.03)
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "step.json").write_text(str(n + 1))
            tune.report({"score": config["x"] * n, "began_at": step}, checkpoint=tune.Checkpoint.from_directory(folder))

def results(again):
    path = Path("studies", "killed")
    tuner = tune.Tuner.restore(path, train) if again else tune.Tuner(
        train,
        param_space={"x": tune.grid_search(list(range(8))), "f": tune.uniform(0, 1), "twice": tune.sample_from(lambda c: c["x"] * 2)},
        tune_config=tune.TuneConfig(metric="score", mode="max", SCHEDULER),
        run_config=tune.RunConfig(name="killed", storage_path="studies", num_workers=2, verbose=0, backend="local"),
    )
    return [[r.config, r.metrics["score"], r.metrics_dataframe["score"].tolist()] for r in tuner.fit()]

if __name__ == "__main__":
    results(again=False)
"""
PLAIN, ASHA = "seed=1", "seed=1, scheduler=__import__('rbt_ray.tune.schedulers', fromlist=['x']).ASHAScheduler(max_t=5)"


def run(folder):
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.Popen([sys.executable, "study.py"], cwd=folder, env=env)


def in_this_process(folder, again):
    with contextlib.chdir(folder):
        found = runpy.run_path(str(folder / "study.py"))["results"](again)
    return json.loads(json.dumps(found))


def ran(folder):
    log = Path(folder, "ran.log")
    return log.read_text().split("\n")[:-1] if log.exists() else []


@pytest.mark.slow
@pytest.mark.parametrize("search", [PLAIN, ASHA], ids=["fifo", "asha"])
def test_a_killed_study_ends_as_one_that_was_not(tmp_path, search):
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "study.py").write_text(SCRIPT.replace("SCHEDULER", search))
    expected = in_this_process(tmp_path / "whole", again=False)
    process = run(tmp_path / "killed")
    end = time.monotonic() + 120
    while len(ran(tmp_path / "killed")) < 13:  # two or more trials are done, two are at work
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert tune.Tuner.can_restore(tmp_path / "killed" / "studies" / "killed")
    assert in_this_process(tmp_path / "killed", again=True) == expected
    if search == PLAIN:
        counts = {step: ran(tmp_path / "killed").count(step) for step in set(ran(tmp_path / "killed"))}
        assert len(counts) == 40
        assert sum(counts.values()) <= 42  # but the two steps under way, each ran once


def test_restoring_a_finished_study_gives_its_results(fit, tmp_path):
    results = fit(climb, {"x": tune.grid_search([1, 2])}, metric="loss", mode="min", stop={"training_iteration": 2})
    again = tune.Tuner.restore(tmp_path / "study", climb)
    assert [result.metrics for result in again.fit()] == [result.metrics for result in results]
    assert again.get_results().get_best_result().config == {"x": 1}
    assert again.fit().study_results.table_hash() == results.study_results.table_hash()


def test_numpys_numbers_are_held_by_the_file(fit, tmp_path):
    from ray.tune.search import BasicVariantGenerator  # not for the workers, which import this module

    space = {
        "x": tune.grid_search(np.linspace(0, 1, 3)),
        "n": (np.int64(2), [np.bool_(True), np.str_("a")]),
        "y": tune.uniform(0, 1),
    }
    first = BasicVariantGenerator(points_to_evaluate=[{"y": np.float32(0.5)}])
    results = fit(climb, space, search_alg=first, metric="loss", mode="min", stop={"n": 1})
    assert [result.config for result in results] == [{"x": x, "n": (2, [True, "a"]), "y": 0.5} for x in (0, 0.5, 1)]
    again = tune.Tuner.restore(tmp_path / "study", climb).fit()
    assert [result.config for result in again] == [result.config for result in results]


def test_what_no_file_holds_is_asked_for(fit, tmp_path):
    fit(climb, {"x": 1}, metric="loss", mode="min", stop=lambda trial_id, result: result["n"] == 2)
    with pytest.raises(StudyMismatchError, match="pass it again"):
        tune.Tuner.restore(tmp_path / "study", climb)
    stop = tune.RunConfig(stop=lambda trial_id, result: True)
    assert len(tune.Tuner.restore(tmp_path / "study", climb, run_config=stop).fit()) == 1


def test_another_trainable_or_space_is_refused(fit, tmp_path):
    fit(line, {"x": tune.grid_search([1, 2]), "until": 2}, metric="score", mode="min")
    with pytest.raises(StudyMismatchError, match="began with the trainable 'line'"):
        tune.Tuner.restore(tmp_path / "study", Line)
    with pytest.raises(StudyMismatchError, match="other configs"):
        tune.Tuner.restore(tmp_path / "study", line, param_space={"x": tune.grid_search([1, 3]), "until": 2})

    def same_name(config):
        return {"score": 1}

    same_name.__name__ = "line"
    with pytest.raises(StudyMismatchError, match=r"`same_name` of .* is new"):
        tune.Tuner.restore(tmp_path / "study", same_name)


def test_where_there_is_no_study(tmp_path):
    assert not tune.Tuner.can_restore(tmp_path / "nowhere")
    with pytest.raises(StudyNotFoundError):
        tune.Tuner.restore(tmp_path / "nowhere", climb)


def test_callbacks_are_missed(fit, tmp_path):
    fit(climb, {"x": 1}, metric="loss", mode="min", stop={"n": 1}, callbacks=[tune.Callback()])
    with pytest.warns(UserWarning, match="began with callbacks"):
        tune.Tuner.restore(tmp_path / "study", climb)


def hanging(config):
    if config["x"] == 1:
        time.sleep(60)
    return {"score": 0.0}


@pytest.mark.slow
def test_a_restored_study_keeps_its_time_limit(tmp_path):
    run = {"num_workers": 2, "backend": "local", "verbose": 0}
    tuner = tune.Tuner(
        hanging,
        param_space={"x": tune.grid_search([0, 1])},
        run_config=tune.RunConfig(name="limited", storage_path=str(tmp_path), trial_timeout_s=1, **run),
    )
    assert len(tuner.fit().errors) == 1
    with contextlib.closing(sqlite3.connect(tmp_path / "limited" / "journal.sqlite")) as journal:
        journal.execute("DELETE FROM events WHERE kind != 'asked' AND number > 1")
        journal.commit()
    results = tune.Tuner.restore(tmp_path / "limited", hanging, run_config=tune.RunConfig(**run)).fit()
    [error] = results.errors
    assert re.fullmatch(r"not done after \d+\.\d s \(`trial_timeout_s`\)\.", str(error))
