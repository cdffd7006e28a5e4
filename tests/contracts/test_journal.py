"""What every place for a study's events has to satisfy: a new one is a line in `PLACES`."""

import os
import signal
from contextlib import closing, contextmanager

import numpy as np
import pytest

from rbt_ray.columns import Outcomes
from rbt_ray.metric_columns import Column
from rbt_ray.store.journal import Asked, Distrusted, Ended, Finished, Journal, Reviewed
from rbt_ray.store.location import StudyLocation
from rbt_ray.types import COMPLETED, CRASHED
from tests.kills import ended, forked

PLACES = {
    "a folder": lambda folder: str(folder / "study"),
    "a folder and its mirror": lambda folder: f"file://{folder}/mirror/study",
}


def finished(first, n, fidelity=1.0):
    """Returns a batch with a metric of each type, in which the second trial has crashed."""
    completed = np.arange(n) != 1
    status = np.where(completed, COMPLETED, CRASHED).astype(np.uint8)
    values = {"score": [0.1 * row for row in range(n)], "n": list(range(n)), "kind": ["é", None] * n, "big": [True] * n}
    metrics = {name: Column.of(column[:n], completed) for name, column in values.items()}
    errors = {} if n < 2 else {1: "out of memory"}
    points = np.column_stack([np.arange(n) / 3, np.where(np.arange(n) % 2, np.nan, 7.0)])
    outcomes = Outcomes(status, metrics, errors, np.full(n, 0.25))
    return Finished(np.arange(first, first + n), points, fidelity, outcomes, "local-0", 1.7e9, 0.5, 0.75)


EVENTS = [
    Asked(0, 5, "digest"),
    finished(0, 3),
    Distrusted("`close`, bars 3 to 4"),
    finished(3, 2, fidelity=1 / 3),
    finished(5, 1),
    Reviewed([{"trial": 0, "config": {"x": 1}, "error": None}], {"equity": np.array([1.0, np.nan, 2.0])}),
    Ended("done", 1.5, 2, "local", ["a note"]),
]


def said_by(event):
    """All that an event says, in values that can be compared."""
    match event:
        case Finished():
            outcomes = event.outcomes
            return (
                event.trials.tolist(), str(event.points.tolist()), event.fidelity, event.worker, event.started,
                event.cpu_s, event.wall_s, outcomes.status.tolist(), outcomes.errors, outcomes.duration_s.tolist(),
                {name: (column.kind, column.to_list()) for name, column in outcomes.metrics.items()},
            )  # fmt: skip
        case Reviewed():
            return event.rows, {name: str(curve.tolist()) for name, curve in event.curves.items()}
    return event


EXPECTED = [said_by(event) for event in EVENTS]


@pytest.fixture(params=PLACES.values(), ids=PLACES)
def uri(request, tmp_path, monkeypatch):
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "home"))
    return request.param(tmp_path)


@contextmanager
def driver_at(uri):
    """The journal of a study that this process runs; it is made by the first."""
    location = StudyLocation(uri)
    with location.locked():
        if location.holder() is None:
            Journal.create(location.folder, {"name": "study"}).close()
        else:
            location.reconcile()
        with location.mirrored(), closing(Journal(location.folder, write=True)) as journal:
            yield journal


def read(uri, *kinds):
    """The events, as anybody reads them."""
    with closing(Journal(StudyLocation(uri).fetch())) as journal:
        assert journal.definition == {"name": "study"}
        return [said_by(event) for event in journal.read(*kinds)]


def test_events_are_read_in_their_order_with_values_and_types(uri):
    with driver_at(uri) as journal:
        for event in EVENTS:
            journal.append(event)
    assert read(uri) == EXPECTED


@pytest.mark.parametrize("pieces", [[1] * len(EVENTS), [3, 4], [0, 7]])
def test_drivers_one_after_the_other_append_to_one_sequence(uri, pieces):
    begin = 0
    for n in pieces:
        with driver_at(uri) as journal:
            assert [said_by(event) for event in journal.read()] == EXPECTED[:begin]
            for event in EVENTS[begin : begin + n]:
                journal.append(event)
        begin += n
        assert read(uri) == EXPECTED[:begin]


def test_events_of_one_call_are_recorded_together_or_not_at_all(uri):
    with driver_at(uri) as journal:
        journal.append(*EVENTS[:2])
        with pytest.raises(TypeError):
            journal.append(*EVENTS[2:4], "no event")
        journal.append(*EVENTS[2:])
    assert read(uri) == EXPECTED


def test_events_of_one_kind_are_read_alone(uri):
    with driver_at(uri) as journal:
        for event in EVENTS:
            journal.append(event)
    assert read(uri, "finished") == [said_by(event) for event in EVENTS if isinstance(event, Finished)]
    assert read(uri, "asked", "ended") == [EXPECTED[0], EXPECTED[-1]]


def test_appended_events_survive_kill_9_and_the_next_driver_continues(uri):
    def act():
        with driver_at(uri) as journal:
            for event in EVENTS[:4]:
                journal.append(event)
            os.kill(os.getpid(), signal.SIGKILL)

    assert ended(forked(act)) == -signal.SIGKILL
    assert read(uri) == EXPECTED[:4]
    with driver_at(uri) as journal:
        for event in EVENTS[4:]:
            journal.append(event)
    assert read(uri) == EXPECTED


def test_a_reader_beside_the_driver_sees_each_event_that_was_appended(uri):
    with driver_at(uri) as journal:
        for number, event in enumerate(EVENTS, 1):
            journal.append(event)
            assert read(uri) == EXPECTED[:number]


def test_another_machine_reads_from_the_mirror_what_the_driver_recorded(tmp_path, monkeypatch):
    uri = PLACES["a folder and its mirror"](tmp_path)
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "one"))
    with driver_at(uri) as journal:
        for event in EVENTS:
            journal.append(event)
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "other"))
    assert read(uri) == EXPECTED
