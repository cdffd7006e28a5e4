"""While another process locks the journal, or the disk is full, a study pauses, prints a message, and loses nothing."""

import os
import signal
import subprocess
import sys

import pytest

import rbt_ray as rbt
from rbt_ray.store import connection

HOLDER = (
    "import sqlite3, sys, time\n"
    "holder = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
    "holder.execute('BEGIN IMMEDIATE')\nprint('held', flush=True)\ntime.sleep(float(sys.argv[2]))\n"
)


class Hold:
    """Another process takes the journal's lock when a trial completes, before the next is recorded."""

    def __init__(self, file, seconds, then=lambda: None):
        self.file, self.seconds, self.then, self.process = file, seconds, then, None

    def on_trial_complete(self, result):
        if self.process is None:
            words = [sys.executable, "-c", HOLDER, str(self.file), str(self.seconds)]
            self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
            assert self.process.stdout.readline() == "held\n"
            self.then()

    def end(self):
        self.process.kill()
        self.process.communicate()


def square(params, data):
    return float(params["n"] ** 2)


def tuner(folder, hold):
    return rbt.Tuner(
        square,
        param_space={"n": rbt.randint(0, 400)},
        tune_config=rbt.TuneConfig(metric="score", search_alg="grid"),
        run_config=rbt.RunConfig("held", folder, num_workers=1, verbose=0, callbacks=[hold]),
    )


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """SQLite itself waits for a moment only."""
    monkeypatch.setattr(connection, "_WRITER_SECONDS", 0.02)


def test_a_study_pauses_and_goes_on(tmp_path, capfd):
    hold = Hold(tmp_path / "held" / "journal.sqlite", seconds=1.0)
    results = tuner(tmp_path, hold).fit()
    hold.end()
    assert [result.metrics["score"] for result in results] == [float(n * n) for n in range(400)]
    said = capfd.readouterr().err
    assert said.count("the study pauses: ") == 1
    assert "cannot be written: database is locked. It continues by itself" in said
    assert f"rbt-ray resume {tmp_path / 'held'}" in said


def test_ctrl_c_during_a_pause_stops_it_and_it_can_be_resumed(tmp_path):
    hold = Hold(tmp_path / "held" / "journal.sqlite", seconds=100, then=lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(rbt.errors.JournalError, match=r"database is locked.*Recorded trials are safe; continue with"):
        tuner(tmp_path, hold).fit()
    hold.end()
    run_config = rbt.RunConfig(num_workers=1, verbose=0)
    results = rbt.Tuner.restore(tmp_path / "held", square, run_config=run_config).fit()
    assert [result.metrics["score"] for result in results] == [float(n * n) for n in range(400)]
