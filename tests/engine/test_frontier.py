"""The ask-and-tell rule, compared with the same rule written out one trial at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.columns import Outcomes
from rbt_ray.engine.frontier import Frontier
from rbt_ray.metric_columns import Column
from rbt_ray.objectives.address import address_of
from rbt_ray.store.journal import Finished
from rbt_ray.study.space import Space
from rbt_ray.study.study import Study
from rbt_ray.types import Proposal

SPACE = Space.of({"x": rbt.uniform(0, 1)})


class Recorder:
    """A searcher whose proposals depend on all results, in groups: `ask` returns nothing while a group is open."""

    def __init__(self, group, n):
        self.group, self.left, self.open, self.log, self.state = group, n, 0, [], 0.1

    @property
    def done(self):
        return self.left == 0

    def ask(self, n):
        n = min(n, self.group - self.open, self.left)
        proposals = []
        for _ in range(n):
            self.state = (self.state * 1.7 + 0.31) % 1.0
            proposals.append(Proposal({"x": self.state}))
            self.log.append(("ask", self.state))
        self.left -= n
        self.open += n
        return proposals

    def tell(self, results):
        for result in results:
            self.open = max(0, self.open - 1)
            self.state = (self.state + (result.loss or 0.5)) % 1.0
            self.log.append(("tell", result.trial_id))


def study(max_pending, deterministic=True, **kw):
    return Study(
        name="s", space=SPACE, metric="score", mode="min", search_alg="custom", num_samples=None, seed=0,
        max_pending=max_pending, deterministic=deterministic, objective=address_of(study), **kw,
    )  # fmt: skip


def finished(trials, points, failed=()):
    n = len(trials)
    status = np.array([1 if t in failed else 0 for t in trials], np.uint8)
    score = Column("float", (points[:, 0] * 3) % 1.0, status == 0)
    errors = {i: "why" for i in range(n) if status[i]}
    return Finished(
        np.array(trials), points, 1.0, Outcomes(status, {"score": score}, errors, np.zeros(n)), "w", 0, 0, 0
    )


def reference(searcher, max_pending, failed):
    """Asks one at a time until `max_pending` are open or `ask` returns none; tells the oldest result; repeats."""
    xs, told = [], 0
    while True:
        while len(xs) - told < max_pending and not searcher.done and (got := searcher.ask(1)):
            xs += [p.config["x"] for p in got]
        if told == len(xs):
            return xs
        point = np.array([[xs[told]]])
        event = finished([told], point, failed)
        loss = None if told in failed else float(event.outcomes.metrics["score"].values[0])
        searcher.tell([type("R", (), {"loss": loss, "trial_id": told})()])
        told += 1


any_study = given(data=st.data(), max_pending=st.integers(1, 9), group=st.integers(1, 12), n=st.integers(1, 40))


@settings(max_examples=40, deadline=None)
@any_study
def test_any_order_of_arrival_in_any_batches_gives_the_rules_one_sequence(data, max_pending, group, n):
    check_sequence(data, max_pending, group, n)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@any_study
def test_the_same_in_many_more_orders(data, max_pending, group, n):
    check_sequence(data, max_pending, group, n)


def check_sequence(data, max_pending, group, n):
    failed = data.draw(st.sets(st.integers(0, n - 1), max_size=5))
    expected_searcher = Recorder(group, n)
    expected = reference(expected_searcher, max_pending, failed)
    searcher = Recorder(group, n)
    frontier = Frontier(study(max_pending), searcher)
    waiting, xs = {}, []
    while True:
        for block in frontier.advance():
            assert block.first == len(xs)
            xs += block.points[:, 0].tolist()
            waiting.update((block.first + i, block.points[i]) for i in range(len(block)))
        if frontier.done:
            break
        batch = data.draw(st.lists(st.sampled_from(sorted(waiting)), min_size=1, max_size=4, unique=True))
        frontier.finish(finished(batch, np.array([waiting.pop(t) for t in batch]), failed))
    assert xs == expected
    assert searcher.log == expected_searcher.log


def test_without_determinism_the_searcher_gets_results_in_order_of_arrival():
    searcher = Recorder(4, 4)
    frontier = Frontier(study(4, deterministic=False), searcher)
    [*blocks] = frontier.advance()
    points = np.concatenate([b.points for b in blocks])
    for trial in (2, 0, 3, 1):
        frontier.finish(finished([trial], points[[trial]]))
        frontier.advance()
    assert [e[1] for e in searcher.log if e[0] == "tell"] == [2, 0, 3, 1]
    assert frontier.done


def test_max_cost_stops_asking_before_it_is_exceeded():
    frontier = Frontier(study(10, max_cost=3.5), Recorder(10, 10))
    assert sum(len(block) for block in frontier.advance()) == 3
    assert frontier.exhausted


@pytest.mark.parametrize("mode", ["min", "max"])
def test_loss_is_minimised_in_both_modes(mode):
    one = Study(**{**{f: getattr(study(1), f) for f in Study.__dataclass_fields__}, "mode": mode})
    column = {"score": Column.of([1.0, 3.0, None], np.array([True, True, False]))}
    loss = one.loss_of(column, 3)
    assert loss[:2].tolist() == ([1.0, 3.0] if mode == "min" else [-1.0, -3.0])
    assert np.isnan(loss[2])
