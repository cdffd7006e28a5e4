"""A study at a URI: after the driver's disk is lost, it can be resumed from the mirror with the same table."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from rbt_ray.cli.main import run_command
from rbt_ray.store.location import StudyLocation
from rbt_ray.store.mirror import Mirror
from rbt_ray.tuner.result_grid import ResultGrid

STUDY = """
import os, sys, time
from pathlib import Path
import numpy as np
import rbt_ray as rbt

def objective(params, data):
    with open("ran.log", "a") as log:
        log.write(f"{params['x']}\\n")
    time.sleep(0.01)
    return {"score": (params["x"] * 37) % 101 + float(data.close[-1, 0])}

if __name__ == "__main__":
    command, uri = sys.argv[1:]
    if command == "restore":
        tuner = rbt.Tuner.restore(f"{uri}/mine", objective, run_config=rbt.RunConfig(num_workers=2, verbose=0))
    else:
        close = np.linspace(50, 80, 600)[:, None]
        days = np.datetime64("2020-01-01") + np.arange(600)
        tuner = rbt.Tuner(
            objective,
            param_space={"x": rbt.randint(0, 400)},
            bundle=rbt.Bundle.from_arrays({"close": close}, days, ["A"]),
            tune_config=rbt.TuneConfig(metric="score", search_alg="random", num_samples=300, seed=5),
            run_config=rbt.RunConfig(name="mine", storage_path=uri, num_workers=2, verbose=0, recheck=0, mirror_interval_s=0.05),
        )
    print(tuner.fit().table_hash())
"""


@pytest.fixture
def place(tmp_path):
    return prepared(tmp_path)


def prepared(folder):
    (folder / "study.py").write_text(STUDY)
    return folder


def start(place, home, *words):
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=place,
        env={**os.environ, "RBT_RAY_HOME": str(place / home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def done(place, home, *words):
    process = start(place, home, *words)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    return out


def mirrored(uri):
    """Returns the number of events in the mirror."""
    return sum(len(Mirror(uri).read(first).rows) for first in Mirror(uri).segment_starts())


def log_of(place):
    log = place / "ran.log"
    return [int(word) for word in log.read_text().split()] if log.exists() else []


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The table's hash when nothing interrupts the study."""
    place = prepared(tmp_path_factory.mktemp("whole"))
    return done(place, "first", "study.py", "run", f"file://{place}/one").strip()


@pytest.mark.parametrize("after", [pytest.param(1, marks=pytest.mark.slow), 8])
def test_driver_killed_and_its_disk_lost(place, whole, monkeypatch, capsys, after):
    uri = f"file://{place}/two"
    driver = start(place, "second", "study.py", "run", uri)
    end = time.monotonic() + 120
    while mirrored(f"{uri}/mine") < after:
        assert time.monotonic() < end, driver.communicate()
        time.sleep(0.01)
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    shutil.rmtree(place / "second")
    monkeypatch.setenv("RBT_RAY_HOME", str(place / "looking"))
    safe = {result.config["x"] for result in ResultGrid(StudyLocation(f"{uri}/mine").fetch())}
    assert len(safe) < 300
    assert after == 1 or safe
    before = len(log_of(place))
    assert done(place, "third", "study.py", "restore", uri).strip() == whole
    again = log_of(place)[before:]
    assert not set(again) & safe
    assert len(again) == len(set(again)) == 300 - len(safe)
    monkeypatch.setenv("RBT_RAY_HOME", str(place / "fourth"))
    run_command(["show", f"{uri}/mine", "--json"])
    assert json.loads(capsys.readouterr().out)["table_hash"] == whole


def test_the_command_line_runs_resumes_shows_and_reports_at_a_uri(place, monkeypatch, capsys):
    def command(home, *words):
        """What a command prints on a machine with a home of its own; its exit code and stderr."""
        monkeypatch.setenv("RBT_RAY_HOME", str(place / home))
        code = run_command(list(words))
        out, err = capsys.readouterr()
        return out, code, err

    monkeypatch.chdir(place)
    uri = f"file://{place}/studies/pairs"
    (place / "study.toml").write_text(
        f'name = "pairs"\nobjective = "sma_cross"\nbundle = "sample"\n[run]\nstorage_path = "file://{place}/studies"\n'
        "[space]\nfast = { randint = [5, 15] }\nslow = { randint = [20, 50] }\n"
    )
    ran = json.loads(command("a", "run", "study.toml", "--json")[0])
    assert ran["n_trials"] == 300
    for home in ("a", "b"):
        shown = json.loads(command(home, "show", uri, "--json")[0])
        resumed = json.loads(command(home, "resume", uri, "--json")[0])
        assert shown["table_hash"] == resumed["table_hash"] == ran["table_hash"]
    page = command("c", "report", uri)[0].strip()
    assert page.startswith(str(place / "c"))
    _, code, err = command("d", "run", "study.toml")
    assert code == 2
    assert f"there is a study in {uri} already. Continue it with `rbt-ray resume {uri}`" in err
