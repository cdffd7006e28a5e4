"""Checks of robustness show their progress; Ctrl-C stops them, and a second call continues them."""

import io
import os
import signal
import sys
import threading
import time

import pandas as pd
import pytest

import rbt_ray as rbt
from rbt_ray.errors import StudyInterrupted

BUNDLE = rbt.Bundle.from_arrays(
    {"close": [[100.0 + bar % 7] for bar in range(60)]}, pd.bdate_range("2020-01-01", periods=60), ["A"]
)


def waits_in(folder):
    def objective(params, data):
        while not (folder / "go").exists():
            time.sleep(0.01)
        return {"score": params["x"] + float(data.close.sum())}

    return objective


def test_checks_show_their_progress_and_continue_where_they_were_stopped(tmp_path, monkeypatch):
    (tmp_path / "go").touch()
    results = rbt.Tuner(
        waits_in(tmp_path),
        param_space={"x": rbt.randint(0, 9)},
        bundle=BUNDLE,
        tune_config=rbt.TuneConfig(metric="score", seed=1),
        run_config=rbt.RunConfig(
            name="s", storage_path=tmp_path / "studies", verbose=1, recheck=0, num_workers=1, backend="local"
        ),
    ).fit()
    (tmp_path / "go").unlink()
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)

    def interrupt():
        while "0/3 trials" not in shown.getvalue():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(StudyInterrupted, match="Call the method again"):
        results.robustness(["start"], n=3)
    thread.join()
    (tmp_path / "go").touch()
    found = results.robustness(["start"], n=3).start
    best = results.get_best_result().config["x"]
    expected = [best + float(BUNDLE.close[bar:].sum()) for bar in found.bars]
    assert found.values.tolist() == expected
