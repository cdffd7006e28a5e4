"""A declared end of a listing closes a holding on the next bar at the last close, and changes nothing before it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from tests.listings import DAY, LOOPS, Rates, ending_market, random_targets

EXECUTIONS = ("close", "next_close", "next_open")
FIGURES = ("returns", "equity", "traded", "exposure", "orders", "round_trips")
NAN = np.nan


def bundle_of(close, listed_until=None):
    close = np.asarray(close, float)
    index = np.datetime64("2020-01-01", "ns") + np.arange(len(close)) * DAY
    symbols = [f"S{i}" for i in range(close.shape[1])]
    return rbt.Bundle.from_arrays({"close": close}, index, symbols, periods_per_year=252, listed_until=listed_until)


@pytest.mark.parametrize("rebalance", sorted(LOOPS))
@pytest.mark.parametrize("execution", EXECUTIONS)
@given(seed=st.integers(0, 10**6), gross=st.sampled_from([0.8, 1.0, 2.5]))
@settings(max_examples=60, deadline=None)
def test_equals_a_loop_that_knows_the_ends(execution, rebalance, seed, gross):
    data = ending_market(seed)
    weights = random_targets(seed, data.close.shape, gross)
    costs = rbt.Costs(turnover_bps=10, slippage_bps=5, borrow_bps=252, margin_bps=504)
    run = rbt.backtest(data, weights, execution, rebalance, costs, "zero")
    loop = LOOPS[rebalance](data, weights, execution, Rates(0.001, 0.0005, 0.0001, 0.0002))
    np.testing.assert_allclose(run.equity, loop.equity, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(run.traded, loop.traded, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(run.exposure, loop.exposure, rtol=1e-9, atol=1e-12)
    assert run.orders.tolist() == loop.fills.tolist()
    assert run.round_trips.tolist() == loop.trips.tolist()


@pytest.mark.parametrize("rebalance", sorted(LOOPS))
@pytest.mark.parametrize("execution", ["close", "next_close"])
def test_the_holding_is_closed_on_the_next_bar_at_usual_costs(execution, rebalance):
    data = bundle_of([[10, 10], [10, 20], [10, 30], [10, NAN], [10, NAN]], {"S1": "2020-01-03"})
    run = rbt.backtest(data, np.full((5, 2), 0.5), execution, rebalance, rbt.Costs(turnover_bps=100), "zero")
    assert run.orders.tolist() == ([2, 0, 0, 1, 0] if execution == "close" else [0, 2, 0, 1, 0])
    assert run.round_trips.tolist() == [0, 0, 0, 1, 0]
    assert run.returns[3] == pytest.approx(-0.01 * run.traded[3]), "the price is that of the bar before: costs alone"
    held_before = 0.5 if rebalance == "every_bar" else {"close": 30 / 40, "next_close": 30 / 50}[execution]
    assert run.traded[3] == pytest.approx(held_before, rel=0.02)
    assert run.exposure[4] == pytest.approx(0.5 if rebalance == "every_bar" else 1 - held_before, rel=0.03)


def test_a_short_holding_is_covered_though_its_cash_is_spent():
    """Short 0.5 of one and long 1.5 of another leave no cash: the order to cover would be dropped."""
    data = bundle_of([[10.0, 10.0]] * 3 + [[10.0, NAN]] * 2, {"S1": "2020-01-03"})
    run = rbt.backtest(data, [[1.5, -0.5]] * 5, "close", "on_change", missing="zero")
    assert run.orders.tolist() == [2, 0, 0, 1, 0]
    assert run.exposure.tolist() == [2.0, 2.0, 2.0, 1.5, 1.5]


def test_a_short_holding_whose_cover_was_dropped_is_closed_at_the_end():
    """Its target has been 0 since bar 1, where no cash was left to buy it back; no later target would order it."""
    data = bundle_of([[10.0, 10.0]] * 3 + [[10.0, NAN]] * 2, {"S1": "2020-01-03"})
    run = rbt.backtest(data, [[1.5, -0.5]] + [[1.5, 0.0]] * 4, "close", "on_change", missing="zero")
    assert run.orders.tolist() == [2, 0, 0, 1, 0]
    assert run.exposure.tolist() == [2.0, 2.0, 2.0, 1.5, 1.5]


@pytest.mark.parametrize("rebalance", sorted(LOOPS))
@pytest.mark.parametrize("missing", ["error", "zero"])
def test_targets_after_the_end_are_ignored(rebalance, missing):
    data = bundle_of([[10.0], [11.0], [NAN], [NAN]], {"S0": "2020-01-02"})
    run = rbt.backtest(data, np.ones((4, 1)), "close", rebalance, missing=missing)
    assert run.orders.tolist() == [1, 0, 1, 0]
    with pytest.raises(rbt.errors.InputError, match="finite numbers; got nan for 'S0' on 2020-01-04"):
        rbt.backtest(data, [[1.0], [1.0], [1.0], [NAN]], "close", rebalance, missing=missing)


@pytest.mark.parametrize("rebalance", sorted(LOOPS))
@pytest.mark.parametrize("execution", EXECUTIONS)
@given(seed=st.integers(0, 10**6), cut=st.integers(1, 59))
@settings(max_examples=25, deadline=None)
def test_a_run_on_the_first_bars_is_the_beginning_of_the_whole(execution, rebalance, seed, cut):
    data = ending_market(seed)
    weights = random_targets(seed, data.close.shape, 1.0)
    costs = rbt.Costs(turnover_bps=5, slippage_bps=1)
    whole = rbt.backtest(data, weights, execution, rebalance, costs, "zero")
    begun = rbt.backtest(data.view(cut), weights[:cut], execution, rebalance, costs, "zero")
    for name in FIGURES:
        assert np.array_equal(getattr(begun, name), getattr(whole, name)[:cut]), name
    # Up to the first declared end the declaration makes no difference at all.
    undeclared = rbt.Bundle.from_arrays({field: data[field] for field in data.fields}, data.index, data.symbols)
    before = int(min((np.searchsorted(data.index, end, "right") for end in data.listed_until.values()), default=60))
    plain = rbt.backtest(undeclared, weights, execution, rebalance, costs, "zero")
    for name in FIGURES:
        assert np.array_equal(getattr(plain, name)[:before], getattr(whole, name)[:before]), name
