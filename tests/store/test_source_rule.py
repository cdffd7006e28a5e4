"""A study with the first kind of fingerprint, of the objective's source only, is read and resumed by that rule."""

import importlib
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

import rbt_ray as rbt
from rbt_ray.errors import JournalError, StudyMismatchError
from rbt_ray.study.study import Study
from rbt_ray.tuner.result_grid import ResultGrid

OLD = Path(__file__).parent.parent / "data" / "journals" / "source-rule"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The study and its module, as they were when its driver was killed before the last trials were recorded."""
    folder = tmp_path / "source-rule"
    shutil.copytree(OLD, folder)
    journal = sqlite3.connect(folder / "journal.sqlite")
    (last,) = journal.execute("SELECT max(number) FROM events WHERE kind = 'finished'").fetchone()
    journal.execute("DELETE FROM events WHERE number >= ?", (last,))
    journal.commit()
    journal.close()
    monkeypatch.syspath_prepend(folder)
    yield folder
    sys.modules.pop("old_strategy", None)


def objective():
    sys.modules.pop("old_strategy", None)
    importlib.invalidate_caches()
    return importlib.import_module("old_strategy").objective


def changed(folder, old, new):
    module = folder / "old_strategy.py"
    assert old in module.read_text()
    module.write_text(module.read_text().replace(old, new))


def local():
    return rbt.RunConfig(backend="local", num_workers=1, verbose=0)


def test_the_remaining_trials_are_run(folder):
    assert len(ResultGrid(folder)) < 12
    assert ResultGrid(folder).study.objective.code == ""
    results = rbt.Tuner.restore(folder, objective(), run_config=local()).fit()
    assert [result.metrics["score"] for result in results] == [(x * 37) % 101 for x in range(12)]


def test_another_source_is_refused_unless_accepted(folder):
    changed(folder, 'score(params["x"])}', 'score(params["x"]) + 1}')
    with pytest.raises(StudyMismatchError, match="its code or its settings"):
        rbt.Tuner.restore(folder, objective(), run_config=local())
    assert len(rbt.Tuner.restore(folder, objective(), run_config=local(), accept_changes=True).fit()) == 12


def test_functions_that_the_objective_calls_are_not_compared_as_they_were_not_recorded(folder):
    changed(folder, "* 37", "* 38")
    assert len(rbt.Tuner.restore(folder, objective(), run_config=local()).fit()) == 12


@pytest.mark.parametrize(
    "wrong", [{"parts": {"a": 1}}, {"parts": []}, {"parts": {"a": {}}}, {"code": 1}, {"python": None}]
)
def test_the_fields_of_an_address_have_the_right_types(folder, wrong):
    plain = ResultGrid(folder).study.to_json()
    Study.from_json(plain)
    plain["objective"].update(wrong)
    with pytest.raises(JournalError, match="is damaged"):
        Study.from_json(plain)
