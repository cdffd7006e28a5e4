"""A sweep gives the metrics of the backtests of its configs, in any batch."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.objectives import sma_cross
from rbt_ray.simulate.metrics import METRIC_NAMES

EXECUTIONS = ("next_open", "next_close", "close")
REBALANCES = ("on_change", "every_bar")


def assert_equal_to_backtests(strategy, view, columns):
    """Checks each metric to 1e-12, or to the rounding error of its terms if digits cancel.

    Returns and drawdowns are differences from 1, compounded to a year in `cagr`, which `calmar` divides by the
    drawdown; ratios of moments are numbers of the order of 1.
    """
    swept = strategy.evaluate(view, columns, METRIC_NAMES)
    rounding = 1e-14 * max(1.0, view.periods_per_year / view.n_bars)
    for row in range(len(next(iter(columns.values())))):
        config = {name: values[row] for name, values in columns.items()}
        expected = strategy(config, view).metrics()
        leeway = {"total_return": rounding, "cagr": rounding, "max_drawdown": rounding}
        if np.isfinite(expected["calmar"]):
            leeway["calmar"] = rounding * (1.0 + abs(expected["calmar"])) / -expected["max_drawdown"]
        for name in METRIC_NAMES:
            want = pytest.approx(expected[name], rel=1e-12, abs=leeway.get(name, 1e-12), nan_ok=True)
            assert swept[name][row] == want, (name, config)


@pytest.mark.parametrize("rebalance", REBALANCES)
@pytest.mark.parametrize("execution", EXECUTIONS)
def test_sweep_equals_backtests_on_ragged_stocks(factory, sample_view, configs_of, execution, rebalance):
    strategy = factory(execution=execution, rebalance=rebalance)
    assert_equal_to_backtests(strategy, sample_view, configs_of(strategy, 24, seed=1))


@pytest.mark.parametrize("rebalance", REBALANCES)
@pytest.mark.parametrize("execution", ["next_close", "close"])
def test_sweep_equals_backtests_on_currencies(factory, fx_view, configs_of, execution, rebalance):
    strategy = factory(turnover_bps=1.5, execution=execution, rebalance=rebalance)
    assert_equal_to_backtests(strategy, fx_view, configs_of(strategy, 12, seed=2))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_sweep_equals_backtests_on_any_prices(configs_of, holed, data):
    from rbt_ray import objectives

    name = data.draw(st.sampled_from(objectives.BUILTIN))
    opens = data.draw(st.booleans())
    execution = data.draw(st.sampled_from(EXECUTIONS if opens else EXECUTIONS[1:]))
    # One tile and its neighbours: 1 to 300 bars end in every place of a tile, of a word and of a register.
    view = holed(
        data.draw(st.integers(1, 300)),
        data.draw(st.integers(1, 11)),
        data.draw(st.integers(0, 2**32)),
        data.draw(st.sampled_from([0.0, 0.05, 0.3])),
        opens,
    )
    bps, rebalance = data.draw(st.sampled_from([0.0, 5.0, 100.0])), data.draw(st.sampled_from(REBALANCES))
    strategy = getattr(objectives, name)(bps, execution, rebalance=rebalance)
    columns = configs_of(strategy, data.draw(st.integers(1, 9)), data.draw(st.integers(0, 99)), longest=20)
    assert_equal_to_backtests(strategy, view, columns)


@pytest.mark.parametrize("rebalance", REBALANCES)
@pytest.mark.parametrize("holes", [False, True])
def test_a_config_scores_the_same_bit_for_bit_in_any_batch(factory, sample_view, holed, configs_of, holes, rebalance):
    strategy = factory(rebalance=rebalance)
    view = holed(400, 5, 7, 0.3, True) if holes else sample_view
    columns = configs_of(strategy, 600, seed=3)
    together = strategy.evaluate(view, columns, METRIC_NAMES)
    shuffled = np.random.default_rng(0).permutation(600)
    for rows in (shuffled, shuffled[:77], np.array([5]), np.array([5, 5, 5]), np.arange(8), np.arange(599, 0, -3)):
        some = strategy.evaluate(view, {name: values[rows] for name, values in columns.items()}, METRIC_NAMES)
        for name in METRIC_NAMES:
            np.testing.assert_array_equal(some[name], together[name][rows])


def test_batches_larger_than_what_is_worked_on_at_once(fx_view):
    view = rbt.Bundle.from_arrays({"close": fx_view.close[:500, :3]}, fx_view.index[:500], fx_view.symbols[:3]).view()
    fast, slow = (grid.ravel().astype(np.float64) for grid in np.meshgrid(np.arange(1, 91), np.arange(1, 121)))
    strategy = sma_cross()
    together = strategy.evaluate(view, {"fast": fast, "slow": slow})
    for part in (slice(0, 100), slice(8100, 8300), slice(10700, 10800)):
        alone = strategy.evaluate(view, {"fast": fast[part], "slow": slow[part]})
        for name in strategy.metrics:
            np.testing.assert_array_equal(together[name][part], alone[name])


def test_a_metric_is_the_same_for_any_set_of_requested_metrics(factory, sample_view, configs_of):
    strategy = factory()
    columns = configs_of(strategy, 10, seed=4)
    everything = strategy.evaluate(sample_view, columns, METRIC_NAMES)
    for name in METRIC_NAMES:
        alone = strategy.evaluate(sample_view, columns, (name,))
        assert list(alone) == [name]
        np.testing.assert_array_equal(alone[name], everything[name])


def test_a_prefix_of_the_data_scores_as_data_that_end_there(factory, sample_view, configs_of):
    strategy = factory()
    columns = configs_of(strategy, 10, seed=5)
    listed = [0, 2, 3, 4]  # FB has no price before the prefix ends, which a bundle may not have
    whole_bundle, ending = (
        rbt.Bundle.from_arrays(
            {field: sample_view[field][:n_bars, listed] for field in sample_view.fields},
            sample_view.index[:n_bars],
            [sample_view.symbols[i] for i in listed],
        )
        for n_bars in (2000, 1234)
    )
    prefix = strategy.evaluate(whole_bundle.view(1234), columns, METRIC_NAMES)
    complete = strategy.evaluate(ending.view(), columns, METRIC_NAMES)
    for name in METRIC_NAMES:
        np.testing.assert_array_equal(prefix[name], complete[name])


def test_windows_longer_than_the_data_never_trade(factory, sample_view, configs_of):
    strategy = factory()
    columns = configs_of(strategy, 3, seed=6)
    for parameter in strategy.parameters:
        if parameter.whole:
            columns[parameter.name] = np.array([3271.0, 1e6, 1e15])
    swept = strategy.evaluate(sample_view, columns, METRIC_NAMES)
    assert np.isnan(swept["sharpe"]).all()
    assert not swept["total_return"].any()
    assert not swept["n_fills"].any()
    assert_equal_to_backtests(strategy, sample_view, columns)


@pytest.mark.parametrize("rebalance", REBALANCES)
def test_a_carried_holding_can_leave_nothing_to_reset(rebalance):
    """B falls while A is carried, so that A is nine tenths of the equity as B is bought again: then both fall."""
    close = np.array([[1, 2, np.nan, np.nan, 0.05, 0.05], [1, 2, 0.2, 0.3, 0.01, 0.01]]).T
    index = np.datetime64("2001-01-01", "ns") + np.arange(len(close)) * np.timedelta64(1, "D")
    view = rbt.Bundle.from_arrays({"close": close}, index, ["A", "B"], periods_per_year=252).view()
    strategy = sma_cross(execution="close", rebalance=rebalance)
    columns = {"fast": np.array([1.0, 1.0]), "slow": np.array([2.0, 3.0])}
    assert_equal_to_backtests(strategy, view, columns)
    assert (strategy({"fast": 1, "slow": 2}, view).bankrupt_bar is None) == (rebalance == "on_change")


def test_a_run_that_loses_everything_ends_there():
    close = np.array([1.0, 2.0, 3.0, 4.0, 1e-9, 1e-9, 3.0, 5.0, 8.0])[:, None]
    index = np.datetime64("2001-01-01", "ns") + np.arange(len(close)) * np.timedelta64(1, "D")
    view = rbt.Bundle.from_arrays({"close": close}, index, ["A"], periods_per_year=252).view()
    strategy = sma_cross(turnover_bps=9000.0, execution="close", rebalance="every_bar")
    columns = {"fast": np.array([1.0, 1.0]), "slow": np.array([2.0, 3.0])}
    run = strategy({"fast": 1, "slow": 2}, view)
    assert run.bankrupt_bar == 4
    assert_equal_to_backtests(strategy, view, columns)
    assert strategy.evaluate(view, columns)["total_return"].tolist() == [-1.0, -1.0]


def test_equal_averages_are_no_position():
    close = np.full((400, 2), 0.1)
    index = np.datetime64("2001-01-01", "ns") + np.arange(400) * np.timedelta64(1, "D")
    view = rbt.Bundle.from_arrays({"close": close}, index, ["A", "B"], periods_per_year=252).view()
    fast, slow = (grid.ravel().astype(np.float64) for grid in np.meshgrid(np.arange(1, 20), np.arange(1, 20)))
    assert not sma_cross().evaluate(view, {"fast": fast, "slow": slow}, ("n_fills",))["n_fills"].any()


def test_memory_does_not_grow_with_the_number_of_configs(sample_view):
    strategy, rng = sma_cross(), np.random.default_rng(0)
    peaks = []
    strategy.evaluate(sample_view, {name: np.array([5.0, 9.0]) for name in strategy.params})  # compiled and cached
    for n_configs in (10_000, 40_000):
        columns = {name: rng.integers(1, 250, n_configs).astype(np.float64) for name in strategy.params}
        tracemalloc.start()
        strategy.evaluate(sample_view, columns)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # What is asked, what is answered, and the order in between: a dozen numbers a config.
    assert peaks[1] - peaks[0] < 30_000 * 12 * 8
