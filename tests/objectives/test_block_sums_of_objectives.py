"""Evaluators give the block sums of the returns of a trial's backtest, in any batch, and no metric changes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray import objectives
from rbt_ray.block_sums import N_BLOCKS, BlockSums
from rbt_ray.objectives.blocks import BlockRequest
from rbt_ray.objectives.objective import as_evaluator
from rbt_ray.objectives.reports import WHOLE
from rbt_ray.simulate.metrics import METRIC_NAMES
from rbt_ray.study.space import Space

EXECUTIONS = ("next_open", "next_close", "close")
REBALANCES = ("on_change", "every_bar")


def every(columns, benchmark):
    """A request for the block sums of all configs."""
    return BlockRequest.of(np.arange(len(next(iter(columns.values())))), benchmark)


def assert_sums_of_backtests(strategy, view, columns, seed=0):
    """Checks the sums to the rounding error of the returns, which are differences from 1, on each bar."""
    benchmark = np.random.default_rng(seed).normal(0, 0.01, view.n_bars)
    metrics = strategy.evaluate(view, columns, METRIC_NAMES)
    beside, sums = strategy.evaluate_with_blocks(view, columns, METRIC_NAMES, every(columns, benchmark))
    for name in METRIC_NAMES:
        np.testing.assert_array_equal(beside[name], metrics[name])
    configs = [{name: values[row] for name, values in columns.items()} for row in range(len(sums))]
    returns = np.column_stack([strategy(config, view).returns for config in configs])
    expected = BlockSums.of(returns, benchmark).rows()
    assert np.abs(sums - expected).max() <= 1e-14 * view.n_bars * (1 + np.abs(returns).max())
    flat = BlockSums.of(np.abs(returns), benchmark).rows()[:, :N_BLOCKS] == 0
    assert not sums.reshape(-1, 3, N_BLOCKS)[np.repeat(flat[:, None], 3, axis=1)].any()


@pytest.mark.parametrize("rebalance", REBALANCES)
@pytest.mark.parametrize("execution", EXECUTIONS)
def test_sweeps_give_the_sums_of_their_backtests(factory, sample_view, configs_of, execution, rebalance):
    strategy = factory(execution=execution, rebalance=rebalance)
    assert_sums_of_backtests(strategy, sample_view, configs_of(strategy, 11, seed=1))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_sweeps_give_the_sums_of_their_backtests_on_any_prices(configs_of, holed, data):
    name = data.draw(st.sampled_from(objectives.BUILTIN))
    opens = data.draw(st.booleans())
    execution = data.draw(st.sampled_from(EXECUTIONS if opens else EXECUTIONS[1:]))
    # Blocks of 1 to 40 bars end in every place of a tile of 128.
    view = holed(
        data.draw(st.integers(N_BLOCKS, 640)),
        data.draw(st.integers(1, 6)),
        data.draw(st.integers(0, 2**32)),
        data.draw(st.sampled_from([0.0, 0.05, 0.3])),
        opens,
    )
    bps, rebalance = data.draw(st.sampled_from([0.0, 5.0, 100.0])), data.draw(st.sampled_from(REBALANCES))
    strategy = getattr(objectives, name)(bps, execution, rebalance=rebalance)
    columns = configs_of(strategy, data.draw(st.integers(1, 9)), data.draw(st.integers(0, 99)), longest=20)
    assert_sums_of_backtests(strategy, view, columns)


@pytest.mark.parametrize("rebalance", REBALANCES)
@pytest.mark.parametrize("holes", [False, True])
def test_sums_are_the_same_bit_for_bit_in_any_batch(factory, sample_view, holed, configs_of, holes, rebalance):
    strategy = factory(rebalance=rebalance)
    view = holed(400, 5, 7, 0.3, True) if holes else sample_view
    columns = configs_of(strategy, 200, seed=3)
    benchmark = np.random.default_rng(1).normal(0, 0.01, view.n_bars)
    together = strategy.evaluate_with_blocks(view, columns, ("sharpe",), every(columns, benchmark))[1]
    shuffled = np.random.default_rng(0).permutation(200)
    for rows in (shuffled, shuffled[:77], np.array([5]), np.arange(8), np.arange(199, 0, -3)):
        some = {name: values[rows] for name, values in columns.items()}
        found = strategy.evaluate_with_blocks(view, some, ("sharpe",), every(some, benchmark))[1]
        np.testing.assert_array_equal(found, together[rows])
    for rows in (np.array([5]), np.arange(3, 200, 9), np.array([0, 199])):  # only some are wanted
        metrics, found = strategy.evaluate_with_blocks(view, columns, ("sharpe",), BlockRequest.of(rows, benchmark))
        np.testing.assert_array_equal(found, together[rows])
        np.testing.assert_array_equal(metrics["sharpe"], strategy.evaluate(view, columns, ("sharpe",))["sharpe"])


def test_sweeps_in_several_threads_have_sums_of_their_own(sample_view, configs_of):
    strategy = objectives.sma_cross()
    benchmark = np.random.default_rng(1).normal(0, 0.01, sample_view.n_bars)
    batches = [configs_of(strategy, n, seed=n) for n in (600, 590, 580, 570)]

    def sums(columns):
        return strategy.evaluate_with_blocks(sample_view, columns, ("sharpe",), every(columns, benchmark))[1]

    alone = [sums(columns) for columns in batches]
    with ThreadPoolExecutor(len(batches)) as pool:
        for found in [list(pool.map(sums, batches)) for _ in range(5)]:
            for one, expected in zip(found, alone, strict=True):
                np.testing.assert_array_equal(one, expected)


def test_a_run_that_loses_everything_has_the_sums_of_its_backtest():
    close = np.array([1.0, 2.0, 3.0, 4.0, 1e-9, 1e-9, 3.0, 5.0, 8.0, *np.arange(9.0, 20.0)])[:, None]
    index = np.datetime64("2001-01-01", "ns") + np.arange(len(close)) * np.timedelta64(1, "D")
    view = rbt.Bundle.from_arrays({"close": close}, index, ["A"], periods_per_year=252).view()
    strategy = objectives.sma_cross(turnover_bps=9000.0, execution="close", rebalance="every_bar")
    assert strategy({"fast": 1, "slow": 2}, view).bankrupt_bar == 4
    assert_sums_of_backtests(strategy, view, {"fast": np.array([1.0, 1.0]), "slow": np.array([2.0, 3.0])})


SPACE = Space.of({"fast": rbt.randint(2, 30), "slow": rbt.randint(30, 90)})
CROSS = objectives.sma_cross()


def as_backtest(params, data):
    return CROSS(params, data)


def as_dict(params, data):
    run = CROSS(params, data)
    return {"sharpe": run.metrics()["sharpe"], "returns": run.returns}


def as_list(params, data):
    run = CROSS(params, data)
    return {"sharpe": run.metrics()["sharpe"], "returns": run.returns.tolist()}


@rbt.batched
def of_a_batch(params, data):
    return [as_dict(one, data) for one in params]


KINDS = {"backtest": as_backtest, "dict": as_dict, "list": as_list, "batch": of_a_batch, "columns": CROSS}


def scored(objective, view, points, rows, benchmark, metric="sharpe"):
    evaluator = as_evaluator(objective, SPACE, metric)
    request = BlockRequest.of(np.asarray(rows, np.int64), benchmark)
    return evaluator.score(view, points, list(range(len(points))), WHOLE, request)


@pytest.fixture(scope="module")
def view():
    close = 100 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.02, (300, 3)), axis=0))
    days = np.datetime64("2020-01-01", "ns") + np.arange(300) * np.timedelta64(1, "D")
    return rbt.Bundle.from_arrays({"close": close}, days, ["A", "B", "C"], periods_per_year=252).view()


@pytest.fixture(scope="module")
def benchmark():
    return np.random.default_rng(5).normal(0, 0.01, 300)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10, deadline=None)
@given(rows=st.sets(st.integers(0, 8)), seed=st.integers(0, 99))
def test_an_evaluator_gives_the_sums_of_the_requested_rows(view, benchmark, kind, rows, seed):
    points = SPACE.from_unit(np.random.default_rng(seed).random((9, 2)))
    found = scored(KINDS[kind], view, points, sorted(rows), benchmark)
    plain = as_evaluator(KINDS[kind], SPACE, "sharpe").score(view, points, list(range(9)))
    assert list(found.metrics) == list(plain.metrics)
    np.testing.assert_array_equal(found.metrics["sharpe"].values, plain.metrics["sharpe"].values)
    assert plain.block_sums is None
    if not rows:
        assert found.block_sums is None
        return
    returns = np.column_stack([CROSS(config, view).returns for config in SPACE.decode(points)])
    expected = BlockSums.of(returns, benchmark).rows()[sorted(rows)]
    assert found.block_sums.rows.tolist() == sorted(rows)
    np.testing.assert_allclose(found.block_sums.values, expected, rtol=1e-9, atol=1e-12)
    if kind != "columns":  # the same bits, whichever batch the trial is in
        alone = scored(KINDS[kind], view, points[min(rows) : min(rows) + 1], [0], benchmark)
        np.testing.assert_array_equal(alone.block_sums.values[0], found.block_sums.values[0])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "columns"])  # valid configs do not fail in a sweep
def test_a_batch_that_is_scored_in_halves_keeps_its_sums(view, benchmark, kind):
    points = SPACE.from_unit(np.random.default_rng(3).random((9, 2)))
    rows = [0, 3, 4, 8]
    whole = scored(KINDS[kind], view, points, rows, benchmark)
    unlucky = points[4, 0]

    if kind == "batch":
        objective = rbt.batched(lambda params, data: [fails(as_dict, one, data, unlucky) for one in params])
    else:
        objective = lambda params, data: fails(KINDS[kind], params, data, unlucky)  # noqa: E731
    found = scored(objective, view, points, rows, benchmark)
    failed = set(np.flatnonzero(found.status).tolist())
    assert 4 in failed
    assert found.block_sums.rows.tolist() == [row for row in rows if row not in failed]
    kept = [at for at, row in enumerate(rows) if row not in failed]
    np.testing.assert_array_equal(found.block_sums.values, whole.block_sums.values[kept])


def fails(objective, params, data, unlucky):
    if params["fast"] == unlucky:
        raise ValueError("an unlucky number")
    return objective(params, data)


def test_a_trial_without_a_finite_metric_has_no_sums(view, benchmark):
    def objective(params, data):
        run = CROSS(params, data)
        return {"sharpe": np.nan if params["fast"] < 15 else 1.0, "returns": run.returns}

    points = SPACE.from_unit(np.random.default_rng(3).random((9, 2)))
    found = scored(objective, view, points, range(9), benchmark)
    assert 0 < len(found.block_sums) < 9
    assert found.block_sums.rows.tolist() == np.flatnonzero(found.status == 0).tolist()


def test_plain_numbers_have_no_sums_and_a_number_called_returns_is_a_metric(view, benchmark):
    points = SPACE.from_unit(np.random.default_rng(3).random((4, 2)))
    assert scored(lambda params, data: 1.0, view, points, range(4), benchmark).block_sums is None
    found = scored(lambda params, data: {"sharpe": 1.0, "returns": 0.5}, view, points, range(4), benchmark)
    assert found.block_sums is None
    assert found.metrics["returns"].to_list() == [0.5] * 4


def test_a_backtest_on_other_bars_has_no_sums(view, benchmark):
    other = rbt.Bundle.from_arrays({"close": view.close[:100]}, view.index[:100], view.symbols).view()
    points = SPACE.from_unit(np.random.default_rng(3).random((4, 2)))
    found = scored(lambda params, data: CROSS({"fast": 2, "slow": 5}, other), view, points, range(4), benchmark)
    assert found.block_sums is None
    assert not found.status.any()


WRONG = {
    "too few bars": (np.zeros(299), "one for each of the 300 bars"),
    "not finite": (np.r_[np.nan, np.zeros(299)], "finite numbers; got nan on 1 of 300 bars, first on bar 0"),
    "no numbers": (["x"] * 300, "as numbers"),
    "a table": (np.zeros((300, 2)), r"got shape \(300, 2\)"),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("batched", [False, True])
def test_a_series_that_does_not_fit_fails_its_trial_with_a_sentence(view, benchmark, what, batched):
    series, sentence = WRONG[what]
    points = SPACE.from_unit(np.random.default_rng(3).random((3, 2)))
    objective = lambda params, data: {"sharpe": 1.0, "returns": series}  # noqa: E731
    if batched:
        one, objective = objective, rbt.batched(lambda params, data: [one(each, data) for each in params])
    found = scored(objective, view, points, range(3), benchmark)
    assert found.status.tolist() == [1, 1, 1]
    with pytest.raises(AssertionError, match=sentence):
        raise AssertionError(found.errors[0])
    assert "Traceback" not in found.errors[0]


def test_too_few_bars_for_the_blocks_give_no_request():
    assert BlockRequest.of(np.arange(3), np.zeros(N_BLOCKS - 1)) is None
    assert BlockRequest.of(np.arange(3), np.zeros(N_BLOCKS)) is not None
