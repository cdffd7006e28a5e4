"""Recorded studies of earlier versions, whose trainables use rbt_ray's functions, can be continued."""

import importlib
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

from rbt_ray import tune
from rbt_ray.tune.stopper import MaximumIterationStopper

OLD = Path(__file__).parents[2] / "data" / "journals" / "ray-tune"


@pytest.fixture
def old(tmp_path, monkeypatch):
    shutil.copytree(OLD, tmp_path / "ray-tune")
    monkeypatch.syspath_prepend(tmp_path / "ray-tune")
    yield importlib.import_module("old_trainables")
    sys.modules.pop("old_trainables", None)


@pytest.mark.parametrize(
    ("study", "trainable"), [("function", "function"), ("class", "Counting"), ("resuming", "resuming")]
)
@pytest.mark.parametrize("finished", [True, False])
def test_a_recorded_study_is_restored_and_continued(old, tmp_path, study, trainable, finished):
    folder = tmp_path / "ray-tune" / study
    journal = sqlite3.connect(folder / "journal.sqlite")
    if not finished:
        (last,) = journal.execute("SELECT max(number) FROM events WHERE kind = 'finished'").fetchone()
        journal.execute("DELETE FROM events WHERE number >= ?", (last,))
        journal.commit()
    journal.close()
    stop = MaximumIterationStopper(3) if study == "class" else None
    run = tune.RunConfig(stop=stop, num_workers=1, verbose=0, backend="local")
    results = tune.Tuner.restore(folder, getattr(old, trainable), run_config=run).fit()
    assert len(results) == (3 if study == "resuming" else 4)
    assert not results.errors
