"""The events that a driver records are read back unchanged, whatever its clock, searcher and choices are."""

from contextlib import closing

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rbt_ray.columns import Outcomes
from rbt_ray.recordable import LATEST_S
from rbt_ray.store.journal import Asked, Ended, Finished, Journal, Reviewed

TIMES = st.one_of(
    st.floats(), st.integers(-(10**400), 10**400), st.none(), st.text(max_size=3), st.floats().map(np.float64)
)
TEXTS = st.text(st.one_of(st.characters(), st.characters(categories=["Cs"])), max_size=8)
TRIALS = st.lists(st.integers(0, 2**62), min_size=1, max_size=5)


class Option:
    """An option that JSON cannot represent."""


OPTIONS = st.one_of(st.floats(), st.integers(), TEXTS, st.none(), st.tuples(st.integers()), st.builds(Option))


def recorded(folder, *events):
    with closing(Journal.create(folder, {})) as journal:
        for event in events:
            journal.append(event)
    with closing(Journal(folder)) as journal:
        return list(journal.read())


def given_up(trials, started, took, worker, error):
    n = len(trials)
    outcomes = Outcomes(np.full(n, 2, np.uint8), {}, dict.fromkeys(range(n), error), np.array([took] * n, object))
    return Finished(np.array(trials), np.zeros((n, 2), np.float32), 1.0, outcomes, worker, started, 0.0, took)


def reviewed(config):
    return Reviewed([{"trial": 0, "config": config, "error": None}], {"equity": np.array([1.0, np.nan])})


def plain(event):
    """Returns everything that an event contains."""
    if isinstance(event, Reviewed):
        return repr((event.rows, {name: curve.tolist() for name, curve in event.curves.items()}))
    if isinstance(event, Finished):
        found = event.outcomes
        outcomes = found.status.tolist(), found.errors, found.duration_s.tolist()
        times = event.started, event.cpu_s, event.wall_s
        assert all(0 <= time <= LATEST_S for time in times)
        return event.trials.tolist(), event.points.tolist(), outcomes, event.worker, times
    return event


EVENTS = st.one_of(
    st.builds(Ended, TEXTS, TIMES, st.integers(0, 9), st.just("local"), st.lists(TEXTS, max_size=3)),
    st.builds(Asked, st.integers(0, 2**62), st.integers(0, 2**62), TEXTS),
    st.builds(reviewed, st.dictionaries(TEXTS, OPTIONS | st.dictionaries(TEXTS, OPTIONS, max_size=2), max_size=3)),
    st.builds(given_up, TRIALS, TIMES, TIMES, TEXTS, TEXTS),
)


@settings(max_examples=50, deadline=None)
@given(events=st.lists(EVENTS, min_size=1, max_size=8))
def test_events_are_read_as_they_were_made(tmp_path_factory, events):
    back = recorded(tmp_path_factory.mktemp("journal"), *events)
    assert [plain(event) for event in back] == [plain(event) for event in events]
    repr([plain(event) for event in events]).encode()


def test_trials_in_any_order_stay_in_it(tmp_path):
    outcomes = Outcomes(np.zeros(3, np.uint8), {}, {}, np.zeros(3))
    event = Finished(np.array([0, 5, 2]), np.zeros((3, 1)), 1.0, outcomes, "local-0", 0.0, 0.0, 0.0)
    [back] = recorded(tmp_path, event)
    assert back.trials.tolist() == [0, 5, 2]
