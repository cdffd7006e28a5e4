"""Selects the valid results after the prices changed; compared with the rule written out run by run."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rbt_ray import metric_columns
from rbt_ray.columns import Outcomes
from rbt_ray.store import trust
from rbt_ray.store.events import Asked, Distrusted, Ended, Finished, Reviewed, pack, unpack
from rbt_ray.types import COMPLETED, FAILED


def finished(trials, value):
    n = len(trials)
    metrics = metric_columns.from_rows([{"score": value}] * n)
    outcomes = Outcomes(np.full(n, COMPLETED, np.uint8), metrics, {}, np.full(n, 0.1))
    return Finished(np.array(trials), np.full((n, 1), value), 1.0, outcomes, "local-0", 1.7e9, 0.1, 0.1)


def ended(reason):
    return Ended(reason, 1.0, 2, "local")


@st.composite
def histories(draw):
    """Draws runs of a study that record trials, with the result of the rule for each trial.

    A run is killed, interrupted, or checks its prices; that, or the start of the next run, may find them changed.
    """
    events, counted, waiting, withdrawn = [], {}, {}, {}
    for run in range(draw(st.integers(1, 6))):
        value = float(run)
        open_trials = [trial for trial in range(12) if trial not in counted and trial not in waiting]
        ran = open_trials[: draw(st.integers(0, 6))]
        if ran:
            events.append(Asked(ran[0], len(ran), f"of run {run}"))
        while ran:
            batch, ran = ran[: (size := draw(st.integers(1, 4)))], ran[size:]
            events.append(finished(batch, value))
            waiting.update(dict.fromkeys(batch, value))
        match draw(st.sampled_from(["killed", "interrupted", "checked", "changed"])):
            case "interrupted":
                events.append(ended("interrupted"))
            case "checked":
                events += [Reviewed([], {}), ended(draw(st.sampled_from(["done", "time_budget", "max_failures"])))]
                counted.update(waiting)
                waiting.clear()
            case "changed":
                events += [Distrusted("`close`, bars 0 to 9"), ended("prices changed")]
                withdrawn.update(waiting)
                waiting.clear()
    return events, counted | waiting, withdrawn, len(waiting)


def values(events, status):
    found = {}
    for event in events:
        for row, trial in enumerate(event.trials.tolist() if isinstance(event, Finished) else ()):
            if event.outcomes.status[row] == status:
                assert trial not in found
                found[trial] = float(event.points[row, 0])
    return found


@settings(deadline=None, max_examples=300)
@given(histories())
def test_events_since_the_last_check_that_passed_are_invalid(history):
    events, counted, withdrawn, n_unconfirmed = history
    assert values(trust.valid_events(events), COMPLETED) == counted
    marked = trust.valid_or_failed_events(events)
    assert values(marked, COMPLETED) == counted
    assert values(marked, FAILED) == {trial: at for trial, at in withdrawn.items() if trial not in counted}
    for event in marked:
        if isinstance(event, Finished) and event.outcomes.status.any():
            assert event.outcomes.metrics == {}
            assert all("bars 0 to 9" in why and "Resume the study" in why for why in event.outcomes.errors.values())
    assert trust.n_unconfirmed(events) == n_unconfirmed
    asked = {event.digest for event in trust.valid_events(events) if isinstance(event, Asked)}
    assert {float(digest.removeprefix("of run ")) for digest in asked} >= set(counted.values())
    if not any(isinstance(event, Distrusted) for event in events):
        assert trust.valid_events(events) == events


def test_the_event_is_packed_and_unpacked():
    kind, header, body = pack(Distrusted("`close`, bars 0 to 9"))
    assert unpack(kind, header, body or b"") == Distrusted("`close`, bars 0 to 9")
