"""kill -9 of the driver loses no recorded trial, leaves no process behind, and the resumed study has the same table."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

OBJECTIVE = """
import os, time
from pathlib import Path

def objective(params, data):
    with open(Path(__file__).with_name("ran.log"), "a") as log:
        log.write(f"{params['x']} {os.getpid()}\\n")
    time.sleep(0.01)
    return {"score": (params["x"] * 37) % 101, "last": float(data.close[-1, 0])}
"""
STUDY = """
objective = "slow_one:objective"
bundle = "fx"
[space]
x = { randint = [0, 400] }
[search]
metric = "score"
search_alg = "random"
num_samples = 300
seed = 5
holdout = 0.2
"""


@pytest.fixture
def place(tmp_path):
    return prepared(tmp_path)


def prepared(folder):
    (folder / "slow_one.py").write_text(OBJECTIVE)
    (folder / "study.toml").write_text(STUDY)
    return folder


def start(place, *words, **kw):
    return subprocess.Popen(
        [sys.executable, "-m", "rbt_ray.cli", *words],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **kw,
    )


def command(place, *words):
    process = start(place, *words)
    out, err = process.communicate(timeout=100)
    return process.returncode, out, err


def log_lines(place):
    log = place / "ran.log"
    return log.read_text().split("\n")[:-1] if log.exists() else []


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def recorded(folder):
    from rbt_ray.tuner.result_grid import ResultGrid

    return {result.config["x"] for result in ResultGrid(folder)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study that nothing interrupts: its folder and what it prints."""
    place = prepared(tmp_path_factory.mktemp("whole"))
    code, out, _ = command(place, "run", "study.toml", "--json", "--workers", "2")
    assert code == 0
    return place, json.loads(out)


@pytest.fixture
def whole(finished):
    return finished[1]


@pytest.mark.parametrize(
    "after", [pytest.param(1, marks=pytest.mark.slow), 150]
)  # `make test-chaos` kills drivers at random moments
def test_kill_9_then_resume(place, whole, after):
    assert whole["n_trials"] == 300
    driver = start(place, "run", "study.toml", "--json", "--workers", "2")
    wait_for(lambda: len(log_lines(place)) >= after)
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    workers = {int(line.split()[1]) for line in log_lines(place)}
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in workers))

    folder = place / "studies" / "study"
    safe = recorded(folder)
    before = len(log_lines(place))
    code, out, err = command(place, "resume", str(folder), "--json")
    assert code == 0, err
    resumed = json.loads(out)
    assert resumed["table_hash"] == whole["table_hash"]
    assert resumed["best"] == whole["best"]
    again = {int(line.split()[0]) for line in log_lines(place)[before:]}
    reviewed = {row["config"]["x"] for row in resumed["top"]}  # the review of the best trial on the hold-out
    assert not (again & safe) - reviewed
    assert len(again | safe) == 300


@pytest.mark.slow
def test_resume_of_a_finished_study_gives_its_results_and_runs_nothing(finished):
    place, whole = finished
    before = log_lines(place)
    code, out, _ = command(place, "resume", "studies/study", "--json")
    assert code == 0
    resumed = json.loads(out)
    assert [resumed[name] for name in ("n_trials", "table_hash", "best")] == [300, whole["table_hash"], whole["best"]]
    assert log_lines(place) == before


@pytest.mark.slow
def test_ctrl_c_stops_cleanly_with_130_and_the_study_can_be_resumed(place):
    driver = start(place, "run", "study.toml", "--workers", "2")
    wait_for(lambda: len(log_lines(place)) >= 30)
    driver.send_signal(signal.SIGINT)
    _, err = driver.communicate(timeout=100)
    assert driver.returncode == 130
    assert "rbt-ray resume studies/study" in err
    assert "Traceback" not in err
    workers = {int(line.split()[1]) for line in log_lines(place)}
    assert not any(psutil.pid_exists(pid) for pid in workers)
    code, out, _ = command(place, "resume", "studies/study", "--json")
    assert code == 0
    assert json.loads(out)["n_trials"] == 300


@pytest.mark.slow
def test_a_second_driver_is_refused(place):
    driver = start(place, "run", "study.toml", "--workers", "1")
    wait_for(lambda: len(log_lines(place)) >= 2)
    driver.send_signal(signal.SIGSTOP)  # it does not finish before the second one starts
    code, _, err = command(place, "resume", "studies/study")
    assert code == 2
    assert f"is being run by process {driver.pid}" in err
    driver.kill()
    driver.communicate()


@pytest.mark.slow
def test_an_orphan_stuck_in_c_code_ends_with_its_driver(tmp_path):
    """A worker that never returns to Python cannot check its driver, so the kernel must end it."""
    (tmp_path / "stuck.py").write_text(
        "import ctypes, os, sys\n"
        "import rbt_ray as rbt\n"
        "def stuck(params, data):\n"
        "    open('pid', 'w').write(str(os.getpid()))\n"
        "    ctypes.PyDLL(None).pause()\n"  # PyDLL keeps the interpreter's lock
        "rbt.Tuner(stuck, param_space={'x': rbt.choice([1])},\n"
        "          run_config=rbt.RunConfig(name='stuck', num_workers=1, verbose=0)).fit()\n"
    )
    driver = subprocess.Popen([sys.executable, "stuck.py"], cwd=tmp_path)
    pid_file = Path(tmp_path / "pid")
    wait_for(lambda: pid_file.exists() and pid_file.read_text())
    pid = int(pid_file.read_text())
    driver.kill()
    driver.wait()
    wait_for(lambda: not psutil.pid_exists(pid))
