"""Order level against a broker written out in plain Python, and against what must be conserved."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.simulate.on_change import run_on_change
from tests.accounts import broker

EXECUTIONS = ("close", "next_close", "next_open")
NO_EXITS = (False, *[np.empty((0, 0))] * 3, np.empty(0), np.empty(0, np.int64))


@pytest.mark.parametrize("execution", EXECUTIONS)
@given(seed=st.integers(0, 10**6), gross=st.sampled_from([1.0, 2.5, 8.0]), whole_units=st.booleans())
@settings(max_examples=40, deadline=None)
def test_equals_a_plain_broker(make_market, execution, seed, gross, whole_units):
    market = make_market(seed, gross=gross)
    costs = rbt.Costs(turnover_bps=10, slippage_bps=5, borrow_bps=300, margin_bps=500)
    run = rbt.backtest(
        market.bundle, market.anywhere, execution, "on_change", costs, "zero", whole_units, initial_cash=10_000.0
    )
    bar = 1e4 * market.bundle.periods_per_year
    expected = broker(
        market.bundle, market.anywhere, execution, 0.001, 0.0005, 300 / bar, 500 / bar, whole_units, 10_000.0
    )
    # Equal but for the order of additions; an equity near 0 has lost the digits of what it is the difference of.
    np.testing.assert_allclose(run.equity * 10_000.0, expected, rtol=1e-10, atol=1e-7)
    before = np.concatenate([[1.0], run.equity[:-1]])
    alive = before > 0
    np.testing.assert_allclose(run.returns[alive], run.equity[alive] / before[alive] - 1, rtol=0, atol=1e-12)


def test_equals_a_plain_broker_where_a_hundred_symbols_are_ordered_at_once():
    rng = np.random.default_rng(5)
    close = np.exp(np.cumsum(rng.normal(0, 0.02, (30, 100)), axis=0))
    index = np.datetime64("2020-01-01", "D") + np.arange(30)
    bundle = rbt.Bundle.from_arrays({"close": close}, index, [f"S{i}" for i in range(100)])
    weights = rng.integers(0, 4, (30, 100)) / 100  # beyond what the money buys, with ties
    run = rbt.backtest(bundle, weights, "next_close", "on_change", rbt.Costs(turnover_bps=10))
    expected = broker(bundle, weights, "next_close", 0.001, 0.0, 0.0, 0.0, False, 1.0)
    np.testing.assert_allclose(run.equity, expected, rtol=1e-10)


@given(seed=st.integers(0, 10**6), gross=st.sampled_from([1.0, 2.5]), whole_units=st.booleans())
@settings(max_examples=30, deadline=None)
def test_money_is_neither_made_nor_lost(make_market, seed, gross, whole_units):
    """What cash loses on a bar is what the units that moved cost, at a price between the fill and fill plus costs."""
    market = make_market(seed, gross=gross, ragged=False)
    close, fill = market.bundle.close, market.bundle.open
    fees, slippage = np.array([0.001, 0.002, 0.0]), 0.0005
    run = run_on_change(
        market.weights, fill, close, 1, True, fees, slippage, 0.0, 0.0, whole_units, 1000.0, np.full(3, -1), *NO_EXITS
    )
    equity, bankrupt_bar, cash, units = run[1], run[6], run[8], run[9]
    alive = len(equity) if bankrupt_bar < 0 else bankrupt_bar
    moved = np.diff(units, axis=0, prepend=0.0)[:alive]
    prices = fill[:alive] * np.where(moved > 0, 1 + slippage, 1 - slippage)
    paid = (moved * prices + np.abs(moved) * prices * fees).sum(axis=1)
    np.testing.assert_allclose(np.diff(cash[:alive], prepend=1000.0), -paid, rtol=0, atol=1e-9)
    np.testing.assert_allclose(equity[:alive] * 1000, cash[:alive] + (units * close).sum(axis=1)[:alive], atol=1e-9)
    assert cash[:alive].min() > -1e-9, "nothing is bought on credit"
    if whole_units:
        assert np.array_equal(units, np.round(units))


@given(seed=st.integers(0, 10**6), money=st.sampled_from([1.0, 2.0**20]), power=st.integers(-6, 6))
@settings(max_examples=20, deadline=None)
def test_neither_money_nor_prices_have_a_scale(make_market, make_bundle, seed, money, power):
    market = make_market(seed)
    costs = rbt.Costs(turnover_bps=10, slippage_bps=5, borrow_bps=50)
    one = rbt.backtest(market.bundle, market.weights, rebalance="on_change", costs=costs, initial_cash=1.0)
    scaled = make_bundle(market.bundle.close * 2.0**power, market.bundle.open * 2.0**power)
    other = rbt.backtest(scaled, market.weights, rebalance="on_change", costs=costs, initial_cash=money)
    assert np.array_equal(one.returns, other.returns), "powers of two multiply without rounding"


def test_without_costs_all_in_is_the_closed_form(sample):
    """Fully in or out of one symbol nothing drifts: both accountings agree."""
    ibm = rbt.Bundle.from_arrays({"open": sample.open[:, 3:4], "close": sample.close[:, 3:4]}, sample.index, ["IBM"])
    weights = (ibm.view().sma("close", 10) > ibm.view().sma("close", 50)).astype(float)
    for execution in ("close", "next_close"):
        run = rbt.backtest(ibm, weights, execution, "every_bar")
        np.testing.assert_allclose(run.at_order_level().equity, run.equity, rtol=1e-12)


def test_orders_only_on_change(make_bundle):
    """Half in one symbol that doubles: the target stays, so nothing is sold and the weight drifts to two thirds."""
    bundle = make_bundle([[10.0], [20.0], [20.0]])
    run = rbt.backtest(bundle, np.full((3, 1), 0.5), "close", "on_change")
    assert run.orders.tolist() == [1, 0, 0]
    assert run.exposure == pytest.approx([0.5, 2 / 3, 2 / 3])
    assert run.equity == pytest.approx([1.0, 1.5, 1.5])


def test_sells_pay_for_buys_and_buys_are_cut_to_cash(make_bundle):
    bundle = make_bundle(np.full((3, 3), 10.0))
    weights = [[1.0, 0.0, 0.0], [0.0, 0.6, 0.4], [0.0, 0.6, 0.4]]
    run = run_on_change(
        np.array(weights),
        bundle.close,
        bundle.close,
        0,
        True,
        np.full(3, 0.01),
        0.0,
        0.0,
        0.0,
        False,
        1010.0,
        np.full(3, -1),
        *NO_EXITS,
    )
    cash, units = run[8], run[9]
    assert units[0] == pytest.approx([100, 0, 0]), "1,010 buy 100 at 10 and a fee of 1 %"
    # 1,000 less 10 for selling is 990; V was 1,000: 40 units cost 404, and 586 buy 58.0198 of the 60 wanted.
    assert units[1] == pytest.approx([0, 586 / 10.1, 40])
    assert cash.tolist() == pytest.approx([0, 0, 0], abs=1e-12)
    assert units[2] == pytest.approx(units[1]), "the rest of a cut order is not sent again"


def test_whole_units_are_cut_towards_no_trade(make_bundle):
    bundle = make_bundle([[30.0], [30.0], [40.0], [40.0]])
    weights = np.array([[0.5], [-0.5], [0.0], [0.0]])
    run = run_on_change(
        weights, bundle.close, bundle.close, 0, True, np.zeros(1), 0.0, 0.0, 0.0, True, 100.0, np.full(1, -1), *NO_EXITS
    )
    assert run[9][:, 0].tolist() == [1.0, -1.0, 0.0, 0.0], "1.67 -> 1, then -2.67 -> -2, then back to 0"


def test_borrow_and_margin_by_hand(make_bundle):
    flat = make_bundle(np.full((3, 2), 10.0))
    weights = np.tile([-1.0, 1.5], (3, 1))
    run = rbt.backtest(flat, weights, "close", "on_change", rbt.Costs(borrow_bps=252))
    # Short 1 for the whole run, at 1 basis point of it a day.
    assert run.equity == pytest.approx([1, 0.9999, 0.9998])
    run = rbt.backtest(flat, weights, "close", "on_change", rbt.Costs(margin_bps=252))
    # Gross 2.5 of equity 1: 1.5 is financed, and a little more as the equity shrinks.
    assert run.equity == pytest.approx([1, 0.99985, 0.99985 - 0.0001 * (2.5 - 0.99985)])
