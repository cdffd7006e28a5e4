"""Invalid events with a right checksum are refused with a one-sentence error when the study is shown."""

import json
import sqlite3
from contextlib import closing

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray import metric_columns
from rbt_ray.cli.main import run_command
from rbt_ray.columns import Outcomes
from rbt_ray.store import journal_file
from rbt_ray.store.journal import Ended, Finished, Journal
from rbt_ray.study.space import Space
from rbt_ray.study.study import Address, Study


@pytest.fixture
def study(tmp_path):
    """Two trials of a study of one choice and one number."""
    space = Space.of({"kind": rbt.choice(["a", "b"]), "n": rbt.randint(0, 9)})
    settings = {"seed": 1, "max_pending": 2, "deterministic": True, "objective": Address("mine:f", {}, "", "f" * 64)}
    definition = Study("s", space, "score", "max", "random", 2, **settings).to_json()
    journal = Journal.create(tmp_path, definition)
    metrics = metric_columns.from_rows([{"score": 1.0, "name": "x"}, {"score": 2.0, "name": None}])
    outcomes = Outcomes(np.zeros(2, np.uint8), metrics, {}, np.ones(2))
    points = np.array([[0.0, 3.0], [1.0, 8.0]])
    journal.append(Finished(np.arange(2), points, 1.0, outcomes, "local-0", 1.0, 1.0, 1.0))
    journal.append(Ended("done", 1.0, 1, "local"))
    journal.close()
    return tmp_path


def change(folder, number, header, body=None):
    """Changes parts of an event's header, or bytes of its body, and updates the checksum, as any program can."""
    with closing(sqlite3.connect(folder / journal_file.FILE_NAME)) as file, file:
        query = "SELECT kind, header, body FROM events WHERE number = ?"
        kind, text, content = file.execute(query, (number,)).fetchone()
        told = json.dumps({**json.loads(text), **header})
        if body is not None:
            numbers = np.frombuffer(content, "<f8").copy()
            numbers[body[0]] = body[1]
            content = numbers.tobytes()
        sealed = journal_file.row_checksum(number, kind, told, content)
        change = "UPDATE events SET header = ?, body = ?, seal = ? WHERE number = ?"
        file.execute(change, (told, content, sealed, number))


MADE_UP = {
    "no such option": (1, {}, (0, 2.0)),
    "half an option": (1, {}, (0, 0.5)),
    "a number out of bounds": (1, {}, (1, 9.0)),
    "an infinite number": (1, {}, (1, np.inf)),
    "many trials without parameters": (1, {"n": 10**12, "n_params": 0}),
    "trials and parameters of another shape": (1, {"n": 1, "n_params": 3}),
    "a trial below zero": (1, {"first": -1}),
    "a trial above all numbers": (1, {"first": 2**63 - 1}),
    "a flag that is none": (1, {"contiguous": "no"}),
    "a fidelity that is none": (1, {"fidelity": 1e400}),
    "a worker without a name": (1, {"worker": {}}),
    "an error of no trial": (1, {"errors": {"7": "x"}}),
    "a metric that is called as the table's own": (1, {"metrics": {"trial_id": {"kind": "float", "all": True}}}),
    "a metric with too few values": (1, {"metrics": {"score": {"kind": "json", "all": True, "values": [1]}}}),
    "a metric of values that no metric has": (
        1,
        {"metrics": {"score": {"kind": "json", "all": True, "values": [[], 1]}}},
    ),
    "a metric above all floats": (1, {"metrics": {"score": {"kind": "json", "all": True, "values": [10**400, 1]}}}),
    "bytes that nothing speaks of": (1, {"metrics": {}}),
    "notes that are none": (2, {"notes": [1]}),
}


@pytest.mark.parametrize("what", MADE_UP)
@pytest.mark.parametrize("command", ["show", "report"])
def test_an_invalid_event_is_refused(study, what, command, capsys):
    assert run_command([command, str(study)]) == 0
    change(study, *MADE_UP[what])
    capsys.readouterr()
    assert run_command([command, str(study)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("rbt-ray: ")
    assert said.count("\n") == 1
    assert said.endswith(".\n")


def test_results_of_one_trial_twice_are_refused(study, capsys):
    with closing(sqlite3.connect(study / journal_file.FILE_NAME)) as file, file:
        kind, header, body = file.execute("SELECT kind, header, body FROM events WHERE number = 1").fetchone()
        sealed = journal_file.row_checksum(3, kind, header, body)
        file.execute("INSERT INTO events VALUES (3, ?, ?, ?, ?)", (kind, header, body, sealed))
    assert run_command(["show", str(study)]) == 1
    assert "it has results of one trial twice." in capsys.readouterr().err
