"""A study whose terminal is closed ends as with Ctrl-C and can be resumed."""

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from contextlib import suppress

import pytest

import rbt_ray as rbt

SCRIPT = """
import sys, time, traceback
from pathlib import Path
import rbt_ray as rbt

def objective(params, data):
    time.sleep(0.02)
    while params["n"] >= 20 and not Path("go").exists():  # the study does not end before the terminal does
        time.sleep(0.02)
    print("trial", params["n"], flush=True)  # fails once the terminal is gone
    return float(params["n"] ** 2)

if __name__ == "__main__":
    config = rbt.RunConfig(name="s", storage_path=".", backend=sys.argv[1], num_workers=2)
    if len(sys.argv) == 3:
        tuner = rbt.Tuner.restore("s", objective, run_config=config)
    else:
        tuner = rbt.Tuner(objective, param_space={"n": rbt.grid_search(list(range(200)))}, run_config=config)
    try:
        tuner.fit()
    except rbt.errors.StudyInterrupted:
        print("interrupted", file=sys.stderr, flush=True)
        sys.exit(130)
    except BaseException:
        Path("why").write_text(traceback.format_exc())  # the terminal is gone
        raise
"""


def recorded(folder):
    try:
        return len(rbt.ResultGrid(folder))
    except rbt.errors.RbtError:  # not there yet
        return 0


def wait_for_trials(folder, n, driver, terminal):
    os.set_blocking(terminal, False)
    deadline = time.monotonic() + 120
    while recorded(folder) < n:
        assert driver.poll() is None
        assert time.monotonic() < deadline, "the study never began"
        with suppress(OSError):
            os.read(terminal, 2**16)  # a terminal without a reader blocks its writers
        time.sleep(0.05)


def start(tmp_path, backend, *, nohup=False):
    """Starts the driver as a session leader on a terminal; returns it and the terminal's other end."""
    ours, terminal = pty.openpty()

    def take_terminal():
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGHUP, signal.SIG_IGN if nohup else signal.SIG_DFL)  # these tests may run under nohup too

    (tmp_path / "study.py").write_text(SCRIPT)
    output = (tmp_path / "output").open("wb") if nohup else terminal
    driver = subprocess.Popen(
        [sys.executable, "study.py", backend],
        cwd=tmp_path,
        stdin=terminal,
        stdout=output,
        stderr=output,
        start_new_session=True,
        preexec_fn=take_terminal,
    )
    os.close(terminal)
    return driver, ours


@pytest.mark.parametrize("backend", ["local", pytest.param("ray", marks=pytest.mark.slow)])
def test_a_closed_terminal_ends_a_study_that_can_be_resumed(tmp_path, backend):
    driver, terminal = start(tmp_path, backend)
    wait_for_trials(tmp_path / "s", 5, driver, terminal)
    os.close(terminal)
    ended, why = driver.wait(timeout=60), tmp_path / "why"
    assert ended == 130, why.read_text() if why.exists() else "no error"  # although it prints to the closed terminal
    assert 5 <= recorded(tmp_path / "s") < 200
    (tmp_path / "go").touch()
    subprocess.run(
        [sys.executable, "study.py", "local", "restore"], cwd=tmp_path, check=True, capture_output=True, timeout=120
    )
    results = rbt.ResultGrid(tmp_path / "s")
    assert [run.reason for run in results.runs] == ["interrupted", "done"]
    assert results.num_errors == 0  # a trial that failed to print is not recorded and runs again
    assert len(results) == 200


@pytest.mark.slow
def test_nohup_keeps_a_study_running(tmp_path):
    driver, terminal = start(tmp_path, "local", nohup=True)
    wait_for_trials(tmp_path / "s", 5, driver, terminal)
    os.close(terminal)
    (tmp_path / "go").touch()
    assert driver.wait(timeout=60) == 0
    results = rbt.ResultGrid(tmp_path / "s")
    assert [run.reason for run in results.runs] == ["done"]
