"""The record of an extension is read as it was written, and an invalid one is refused."""

import json
import sqlite3
from contextlib import closing

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.columns import Outcomes
from rbt_ray.errors import JournalError
from rbt_ray.store import journal_file
from rbt_ray.store.continuation import study_of
from rbt_ray.store.journal import Ended, Evaluated, Extended, Finished, Journal
from rbt_ray.store.study_record import read_study
from rbt_ray.study.draw import AUDIT_FIRST
from rbt_ray.study.limits import Limits
from rbt_ray.study.space import Space
from rbt_ray.study.study import Address, Study

COARSE, FINE = Space.of({"x": rbt.grid_search([1, 3])}), Space.of({"x": rbt.grid_search([1, 2, 3])})


def study(space=COARSE, **changes):
    settings = {"seed": 1, "max_pending": 2, "deterministic": True, "objective": Address("mine:f", {}, "", "f" * 64)}
    return Study("s", space, "score", "max", "grid", **{"num_samples": 2, **settings, **changes})


def test_extensions_are_read_as_they_were_written(tmp_path):
    with closing(Journal.create(tmp_path, study().to_json())) as journal:
        assert journal.extensions() == []
        journal.append(Extended(None, 7.5))
        journal.append(Extended(9, None, FINE.to_json(), np.array([[0.0], [2.0]])))
        found = study_of(journal)
    with closing(Journal(tmp_path)) as journal:
        first, second = journal.extensions()
        assert study_of(journal) == found
        assert study_of(journal, found) == found
    assert (first.num_samples, first.max_cost, first.space) == (None, 7.5, None)
    assert (second.num_samples, second.space, second.points.tolist()) == (9, FINE.to_json(), [[0.0], [2.0]])
    assert found.phases == (Limits(2, None), Limits(None, 7.5))
    assert found.limits == Limits(9, None)
    assert (found.space, found.points_to_evaluate) == (FINE, ({"x": 1}, {"x": 3}))
    assert Study.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_study_is_not_done_after_an_extension(tmp_path):
    with closing(Journal.create(tmp_path, study().to_json())) as journal:
        journal.append(Ended("done", 1.0, 1, "local"))
        assert read_study(tmp_path).is_done
        journal.append(Extended(9, None))
        assert not read_study(tmp_path).is_done
        journal.append(Ended("done", 1.0, 1, "local"))
        assert read_study(tmp_path).is_done


def test_an_audit_set_before_an_extension_does_not_count(tmp_path):
    outcomes = Outcomes(np.zeros(1, np.uint8), {}, {}, np.zeros(1))
    batch = Finished(np.array([AUDIT_FIRST]), np.zeros((1, 1)), 1.0, outcomes, "w", 0.0, 0.0, 0.0)
    with closing(Journal.create(tmp_path, study().to_json())) as journal:
        journal.append(Evaluated("audit", batch))
        assert len(read_study(tmp_path).audit) == 1
        journal.append(Extended(9, None))
        assert read_study(tmp_path).audit is None


def test_versions_without_extensions_refuse_the_journal(tmp_path):
    """They accept format 2 alone, and say that they do for any other number."""
    with closing(Journal.create(tmp_path, study().to_json())) as journal:
        journal.append(Ended("done", 1.0, 1, "local"))
        with closing(journal_file.RawEvents(tmp_path)) as events:
            assert events.meta["format"] == "2"
        journal.append(Extended(9, None))
    with closing(journal_file.RawEvents(tmp_path)) as events:
        assert events.meta["format"] == "3"
        journal_file.check_meta(events.meta, "it")  # with the right checksum


@pytest.mark.parametrize(
    "change",
    [
        {"num_samples": 0},
        {"num_samples": 1.5},
        {"num_samples": "9"},
        {"num_samples": True},
        {"max_cost": 0},
        {"max_cost": float("inf")},
        {"max_cost": "1"},
        {"space": []},
        {"space": {}},
        {"n": 3},
        {"n": -1},
        {"n": 2**40},
        {"n_params": 2},
        {"n": 1, "n_params": 2},
    ],
)
def test_an_invalid_extension_is_refused(tmp_path, change):
    with closing(Journal.create(tmp_path, study().to_json())) as journal:
        journal.append(Extended(9, None, FINE.to_json(), np.array([[0.0], [2.0]])))
    _rewrite(tmp_path, change)
    with closing(Journal(tmp_path)) as journal, pytest.raises(JournalError):
        study_of(journal)


@pytest.mark.parametrize("points", [[[0.0], [3.0]], [[0.5], [1.0]], [[np.inf], [0.0]]])
def test_configs_outside_the_new_space_are_refused(tmp_path, points):
    with closing(Journal.create(tmp_path, study().to_json())) as journal:
        journal.append(Extended(9, None, FINE.to_json(), np.array(points)))
    with (
        closing(Journal(tmp_path)) as journal,
        pytest.raises(JournalError, match="an extension of the study 's' is damaged"),
    ):
        study_of(journal)


def _rewrite(folder, change):
    """Changes the header of the first event, with the right checksum."""
    with closing(sqlite3.connect(folder / journal_file.FILE_NAME)) as file, file:
        kind, header, body = file.execute("SELECT kind, header, body FROM events").fetchone()
        header = json.dumps({**json.loads(header), **change})
        checksum = journal_file.row_checksum(1, kind, header, body)
        file.execute("UPDATE events SET header = ?, seal = ?", (header, checksum))
