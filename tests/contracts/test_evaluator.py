"""What every evaluator has to satisfy, whatever kind of objective it calls: a new one is a line in `OBJECTIVES`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.objectives.objective import as_evaluator
from rbt_ray.study.space import Space

SPACE = Space.of({"fast": rbt.randint(2, 30), "slow": rbt.randint(30, 90)})
METRIC = "sharpe"


def of_one(params, data):
    return {METRIC: 1.0 / params["fast"] + data.close[params["slow"]].sum(), "slow": params["slow"]}


@rbt.batched
def of_a_batch(params, data):
    return [of_one(one, data) for one in params]


def of_a_backtest(params, data):
    held = data.sma("close", params["fast"]) > data.sma("close", params["slow"])
    return rbt.backtest(data, weights=held / data.n_symbols)


class OfColumns:
    """The same as `of_one`, for columns of parameters."""

    params = ("fast", "slow")
    metrics = (METRIC, "slow")

    def evaluate(self, data, columns, metrics):
        rows = columns["slow"].astype(int)
        found = {METRIC: 1.0 / columns["fast"] + data.close[rows].sum(axis=1), "slow": columns["slow"]}
        return {name: found[name] for name in metrics}


def unlucky(objective):
    """The objective, except that it raises wherever a batch has a config whose `fast` is 13."""
    if isinstance(objective, OfColumns):

        class Unlucky(OfColumns):
            def evaluate(self, data, columns, metrics):
                refuse(columns["fast"].tolist())
                return super().evaluate(data, columns, metrics)

        return Unlucky()
    if getattr(objective, "__name__", "") == "of_a_batch":
        return rbt.batched(lambda params, data: (refuse([one["fast"] for one in params]), objective(params, data))[1])
    return lambda params, data: (refuse([params["fast"]]), objective(params, data))[1]


def refuse(numbers):
    if 13 in numbers:
        raise ValueError("an unlucky number")


OBJECTIVES = {
    "a function of one config": of_one,
    "a function of a batch": of_a_batch,
    "a backtest": of_a_backtest,
    "columns": OfColumns(),
}
BUILT_IN = {"a built-in sweep": rbt.objectives.sma_cross()}
each = pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
each_and_built_in = pytest.mark.parametrize(
    "objective", [*OBJECTIVES.values(), *BUILT_IN.values()], ids=[*OBJECTIVES, *BUILT_IN]
)


@pytest.fixture(scope="module")
def view():
    close = 100 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.02, (300, 3)), axis=0))
    days = np.datetime64("2020-01-01", "ns") + np.arange(300) * np.timedelta64(1, "D")
    return rbt.Bundle.from_arrays({"close": close}, days, ["A", "B", "C"], periods_per_year=252).view()


def points(n, seed=0):
    return SPACE.from_unit(np.random.default_rng(seed).random((n, 2)))


def rows_of(outcomes):
    """Status, metrics and whether there is an error, by row."""
    metrics = {name: column.to_list() for name, column in outcomes.metrics.items()}
    return [
        (int(status), {name: values[row] for name, values in metrics.items()}, row in outcomes.errors)
        for row, status in enumerate(outcomes.status)
    ]


@each_and_built_in
@settings(max_examples=5, deadline=None)
@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_a_batch_scores_as_its_members_would_one_by_one(objective, view, sizes, seed):
    rows, seeds = points(sum(sizes), seed), list(range(sum(sizes)))
    whole = rows_of(as_evaluator(objective, SPACE, METRIC).score(view, rows, seeds))
    assert len(whole) == len(rows)
    alone = as_evaluator(objective, SPACE, METRIC)
    assert whole == [rows_of(alone.score(view, rows[n : n + 1], seeds[n : n + 1]))[0] for n in range(len(rows))]
    begin, pieces = 0, []
    for size in sizes:
        pieces += rows_of(alone.score(view, rows[begin : begin + size], seeds[begin : begin + size]))
        begin += size
    assert pieces == whole


@each_and_built_in
def test_nothing_in_the_bundle_changes(objective, view):
    before = view.close.copy()
    as_evaluator(objective, SPACE, METRIC).score(view, points(20), list(range(20)))
    np.testing.assert_array_equal(view.close, before)
    assert not view.close.flags.writeable


@each
def test_who_raises_fails_alone(objective, view):
    rows = points(12)
    rows[:, 0] = np.arange(5, 17)
    found = rows_of(as_evaluator(unlucky(objective), SPACE, METRIC).score(view, rows, list(range(12))))
    expected = rows_of(as_evaluator(objective, SPACE, METRIC).score(view, rows, list(range(12))))
    assert [row for row, (status, _, _) in enumerate(found) if status] == [8]
    assert [failed for _, _, failed in found] == [row == 8 for row in range(12)]
    assert [one for row, one in enumerate(found) if row != 8] == [one for row, one in enumerate(expected) if row != 8]


@each_and_built_in
def test_every_trial_has_a_time(objective, view):
    took = as_evaluator(objective, SPACE, METRIC).score(view, points(7), list(range(7))).duration_s
    assert took.shape == (7,)
    assert (took >= 0).all()


@each_and_built_in
def test_a_metric_that_is_not_there_is_a_failure_with_its_name(objective, view):
    outcomes = as_evaluator(objective, SPACE, "no_such_metric").score(view, points(3), [1, 2, 3])
    assert outcomes.status.tolist() == [1, 1, 1]
    assert all("no_such_metric" in outcomes.errors[row] for row in range(3))
