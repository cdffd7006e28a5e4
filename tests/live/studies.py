"""Studies that run in a process of their own, and the live page of one."""

import json
import re
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

N, HELD = 200, 20
"""Trials of a study, and the first that waits for the file `go` in its folder's parent; every tenth fails."""

SCRIPT = """
import sys, time
from pathlib import Path
import rbt_ray as rbt

folder = Path(sys.argv[1])

def objective(params, data=None):
    while params["x"] >= {held} and not (folder / "go").exists():
        time.sleep(0.01)
    if params["x"] >= {held}:
        time.sleep(0.01)  # so that a driver that was asked to stop has trials left
    if params["x"] % 10 == 0:
        raise ValueError("one of ten")
    return {{"gain": 100.0 - (params["x"] - 33) ** 2}}

try:
    rbt.Tuner(
        objective,
        param_space={{"x": rbt.grid_search(list(range({n})))}},
        tune_config=rbt.TuneConfig(metric="gain", mode="max"),
        run_config=rbt.RunConfig(name="mine", storage_path=folder, num_workers=1, verbose=0, exist="resume"),
    ).fit()
except rbt.errors.StudyInterrupted:
    sys.exit(130)
"""


@contextmanager
def running(folder, held=HELD):
    """A driver with a study in `folder`/mine, whose trials from number `held` on wait for the file `folder`/go."""
    command = [sys.executable, "-c", SCRIPT.format(held=held, n=N), str(folder)]
    process = subprocess.Popen(command)
    try:
        wait_until(lambda: (folder / "mine" / "journal.sqlite").exists() or process.poll() is not None)
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def watched(path, *arguments):
    """The address of the live page of a study, which `rbt-ray watch` serves."""
    command = [sys.executable, "-m", "rbt_ray.cli", "watch", str(path), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        yield re.search(r"http://\S+", line)[0]
    finally:
        process.terminate()
        process.stdout.close()
        process.wait(30)


class Messages:
    """The server-sent events of a live page."""

    def __init__(self, address):
        self._answer = urllib.request.urlopen(f"{address}events", timeout=60)

    def until(self, condition):
        """Returns the first state that satisfies a condition."""
        for line in self._answer:
            if line.startswith(b"data: ") and condition(state := json.loads(line[6:])):
                return state
        raise AssertionError("the server closed the connection")

    def close(self):
        """Closes the connection, as a closed tab does."""
        self._answer.close()


def n_trials(state):
    """How many trials have finished in a state of the page; 0 before the first reading."""
    return int(state.get("trials", 0))


def wait_until(condition, seconds=60):
    """Waits for another process."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
