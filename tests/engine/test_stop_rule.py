"""A search that stops before its limits: at the trial that the rule names, for any order of arrival."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.columns import Outcomes
from rbt_ray.engine.frontier import Frontier
from rbt_ray.errors import JournalError, SettingError
from rbt_ray.metric_columns import Column
from rbt_ray.search.registry import make_searcher
from rbt_ray.store.journal import Finished
from rbt_ray.study.limits import Limits, StopRule, open_before_stop
from rbt_ray.study.space import Space
from rbt_ray.study.study import Address, Study

SPACE = Space.of({"x": rbt.uniform(0, 1)})


def study(search, **settings):
    given = {"num_samples": 150, "max_pending": 2**17 if search == "random" else 6, "mode": "min", **settings}
    address = Address("mine:f", {}, "", "f" * 64)
    return Study("s", SPACE, "score", search_alg=search, seed=3, deterministic=True, objective=address, **given)


def score(point):
    return float(abs(math.sin(37 * point[0])))


def finished(trials, points, fidelity=1.0):
    values = np.array([score(point) for point in points])
    present = values > 0.05  # the best trials fail
    outcomes = Outcomes(
        (~present).astype(np.uint8),
        {"score": Column("float", values, present)},
        dict.fromkeys(np.flatnonzero(~present).tolist(), "why"),
        np.zeros(len(trials)),
    )
    return Finished(np.array(trials), np.array(points), fidelity, outcomes, "w", 0, 0, 0)


def run(definition, choose):
    """Runs a study whose open trials finish as `choose` says; returns its points in trial order, and the note."""
    frontier = Frontier(definition, make_searcher(definition))
    waiting, points = {}, []
    while True:
        for batch in frontier.advance():
            waiting.update((batch.first + row, batch.points[row]) for row in range(len(batch)))
            points += list(batch.points[:, 0])
        if frontier.done:
            return points, frontier.stop_note
        trials = choose(sorted(waiting))
        frontier.finish(finished(trials, [waiting.pop(trial) for trial in trials]))


def where_it_stops(points, stop, mode="min"):
    """The number of trials after which the rule is met, by its definition; None if it never is."""
    sign = 1 if mode == "min" else -1
    losses = [sign * score([x]) if score([x]) > 0.05 else math.inf for x in points]
    for n in range(1, len(losses) + 1):
        best = min(losses[:n])
        since = n - 1 - losses[:n].index(best) if best < math.inf else n
        if since >= stop.get("no_improvement", math.inf) or best <= sign * stop.get("target", -sign * math.inf):
            return n
    return None


RULES = st.one_of(
    st.builds(lambda n: {"no_improvement": n}, st.integers(1, 40)),
    st.builds(lambda x: {"target": x}, st.floats(0.0, 0.4)),
    st.builds(lambda n, x: {"no_improvement": n, "target": x}, st.integers(1, 60), st.floats(0.0, 0.2)),
)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(data=st.data(), stop=RULES, search=st.sampled_from(["random", "bohb"]))
def test_the_search_stops_at_the_same_trial_for_any_order_of_arrival(data, stop, search):
    definition = study(search, stop=stop)
    one_by_one, note = run(definition, lambda waiting: waiting[:1])

    def some(waiting):
        return data.draw(st.lists(st.sampled_from(waiting), min_size=1, max_size=5, unique=True))

    assert run(definition, some) == (one_by_one, note)
    n = where_it_stops(one_by_one, stop)
    if n is None:
        assert len(one_by_one) == 150
        assert note == ""
    else:
        assert note.startswith("the search stopped: ")
        open_after = open_before_stop(n) if search == "random" else definition.max_pending
        assert n <= len(one_by_one) <= n + open_after


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_best_metric_and_the_reason_are_in_the_note(mode):
    rule = StopRule({"target": 0.5}, "score", mode)
    sign = -1 if mode == "max" else 1
    rule.add(sign * (0.4 if mode == "max" else 0.6))
    assert not rule.note
    rule.add(math.nan)
    rule.add(sign * 0.5)
    assert rule.note == "the search stopped: score 0.5 reaches the target 0.5."
    rule = StopRule({"no_improvement": 2}, "score", mode)
    rule.add(math.nan)
    rule.add(math.nan)
    assert rule.note == "the search stopped: no improvement in 2 trials at full fidelity; no trial completed."


def test_only_trials_at_full_fidelity_count():
    definition = study("bohb", stop={"no_improvement": 3}, scheduler={"name": "hyperband"}, lowest_fidelity=1 / 9)
    frontier = Frontier(definition, make_searcher(definition))
    n_full = n_told_full = 0
    while not frontier.done:
        for batch in frontier.advance():
            n_full += int((batch.fidelity == 1).sum())
            for row in range(len(batch)):
                point = batch.points[row]
                event = finished([batch.first + row], [point], float(batch.fidelity[row]))
                n_told_full += batch.fidelity[row] == 1
                frontier.finish(event)
    assert 4 <= n_full <= 4 + definition.max_pending
    assert frontier.stop_note


def test_an_extension_does_not_restart_a_search_that_has_stopped():
    before, note = run(study("bohb", stop={"no_improvement": 10}), lambda waiting: waiting[:1])
    assert note
    extended = study("bohb", stop={"no_improvement": 10}, num_samples=300, phases=(Limits(150, None),))
    assert run(extended, lambda waiting: waiting[:1]) == (before, note)


@pytest.mark.parametrize(
    ("stop", "message"),
    [
        ({}, "`stop` is a dict such as"),
        (200, "`stop` is a dict such as"),
        ({"improvement": 3}, "`stop` is a dict such as"),
        ({"no_improvement": 0}, "`no_improvement` of `stop` is a number of trials"),
        ({"no_improvement": 2.5}, "`no_improvement` of `stop` is a number of trials"),
        ({"no_improvement": True}, "`no_improvement` of `stop` is a number of trials"),
        ({"target": float("nan")}, "`target` of `stop` is a finite value"),
        ({"target": "3"}, "`target` of `stop` is a finite value"),
    ],
)
def test_an_impossible_rule_is_refused(stop, message):
    with pytest.raises(SettingError, match=message):
        rbt.TuneConfig(stop=stop)
    with pytest.raises(JournalError, match="the study's definition is damaged"):
        Study.from_json({**study("random").to_json(), "stop": stop})
