"""A RayJob's attempts: the next one continues the study of one that died, and two at a time do not run it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

CLUSTER = Path(__file__).parents[1] / "cluster"
[JOB] = [one for one in yaml.safe_load_all((CLUSTER / "kuberay-rayjob.yaml").read_text()) if one["kind"] == "RayJob"]
OPTIONS = JOB["spec"]["entrypoint"].split()[3:]
N_TRIALS = 40
_OBJECTIVE = """
import time
from pathlib import Path

HERE = Path(__file__).parent

def objective(params, data):
    with (HERE / "ran.log").open("a") as log:
        log.write("1\\n")
    while not (HERE / "hurry").exists() and (HERE / "ran.log").stat().st_size > 20:
        time.sleep(0.05)
    return {"score": params["x"] + data.rng.random()}
"""
_STUDY = """
objective = "paced:objective"
bundle = "fx"
[space]
x = { randint = [0, 4000] }
[search]
metric = "score"
search_alg = "random"
num_samples = 40
seed = 5
[run]
storage_path = "STORAGE"
mirror_interval_s = 0.5
"""


def job(folder, storage):
    """Writes the study to a folder; returns the command of an attempt."""
    folder.mkdir()
    (folder / "paced.py").write_text(_OBJECTIVE)
    (folder / "study.toml").write_text(_STUDY.replace("STORAGE", storage))
    words = [sys.executable, CLUSTER / "sweep.py", folder / "study.toml", *OPTIONS]
    return [*words, "--backend", "local", "--workers", "2", "--json"]


def attempt(words, home):
    """Starts an attempt in a pod with a disk of its own."""
    env = {**os.environ, "RBT_RAY_HOME": str(home)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(words, cwd=words[2].parent, env=env, **pipes)


def test_a_failed_attempt_is_followed_by_others_that_resume():
    assert OPTIONS == ["--exist", "resume"]
    assert JOB["spec"]["backoffLimit"] > 0


@pytest.mark.timeout(180)
@pytest.mark.parametrize("is_uri", [False, True], ids=["on the volume", "at a URI"])
def test_the_next_attempt_continues_and_one_at_the_same_time_is_refused(tmp_path, is_uri):
    whole, folder = tmp_path / "whole", tmp_path / "job"
    words = job(whole, "studies")
    (whole / "hurry").touch()
    out, err = attempt(words, tmp_path / "home").communicate(timeout=120)
    expected = json.loads(out)["table_hash"]

    words = job(folder, f"file://{tmp_path}/bucket" if is_uri else "studies")
    first = attempt(words, tmp_path / "home-1")
    try:
        end = time.monotonic() + 60
        while not (folder / "ran.log").exists() or (folder / "ran.log").stat().st_size < 24:
            assert time.monotonic() < end
            time.sleep(0.05)
        overlapping = attempt(words, tmp_path / "home-2")
        _, said = overlapping.communicate(timeout=60)
        assert overlapping.returncode == 2
        assert f"is being run by process {first.pid} on " in said
    finally:
        first.kill()
        first.communicate()
    (folder / "hurry").touch()
    second = attempt(words, tmp_path / "home-3")
    out, err = second.communicate(timeout=120)
    assert second.returncode == 0, err
    found = json.loads(out)
    assert found["table_hash"] == expected
    assert found["n_trials"] == N_TRIALS
