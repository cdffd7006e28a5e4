"""Bars without a price: holdings are carried over them, nothing is filled on them, and nothing looks ahead."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt

EXECUTIONS = ("close", "next_close", "next_open")
REBALANCES = ("every_bar", "on_change")
NAN = math.nan


@pytest.mark.parametrize("rebalance", REBALANCES)
@pytest.mark.parametrize(("after", "total_return"), [(160.0, 0.6), (60.0, -0.4)])
def test_the_return_across_a_hole_falls_on_the_next_price(make_bundle, rebalance, after, total_return):
    bundle = make_bundle([[100.0]] * 3 + [[NAN]] + [[after]] * 3)
    run = rbt.backtest(bundle, np.ones((7, 1)), "next_close", rebalance, missing="zero")
    assert run.returns == pytest.approx([0, 0, 0, 0, total_return, 0, 0])
    assert run.equity[-1] == pytest.approx(1 + total_return)
    assert run.exposure == pytest.approx([0, 1, 1, 1, 1, 1, 1])
    assert run.orders.tolist() == [0, 1, 0, 0, 0, 0, 0], "held over the hole, not sold and bought again"


@pytest.mark.parametrize("rebalance", REBALANCES)
@pytest.mark.parametrize("missing", ["error", "zero"])
def test_a_target_in_a_hole_is_ignored(make_bundle, rebalance, missing):
    """`fast > slow` is false where an indicator is NaN: that must not sell and buy back at the cost of two trades."""
    bundle = make_bundle([[100.0], [NAN], [110.0], [NAN], [NAN], [120.0]])
    weights = np.array([[1.0], [0.0], [1.0], [0.0], [0.0], [1.0]])
    run = rbt.backtest(bundle, weights, "close", rebalance, rbt.Costs(turnover_bps=100), missing)
    assert run.orders.sum() == 1
    assert run.equity[-1] == pytest.approx(1.2 * (0.99 if rebalance == "every_bar" else 1 / 1.01))


@pytest.mark.parametrize("rebalance", REBALANCES)
def test_an_order_waits_for_a_price(make_bundle, rebalance):
    """The order of bar 0 cannot fill on bar 1, which has no price. It fills on bar 3 at 50, the first price after that."""
    bundle = make_bundle([[100.0], [NAN], [NAN], [50.0], [75.0]])
    run = rbt.backtest(bundle, np.array([[1.0], [0.0], [0.0], [1.0], [1.0]]), "next_close", rebalance)
    assert run.orders.tolist() == [0, 0, 0, 1, 0]
    assert run.returns == pytest.approx([0, 0, 0, 0, 0.5])


@pytest.mark.parametrize("rebalance", REBALANCES)
def test_a_holding_without_later_prices_is_carried_to_the_end_at_no_cost(make_bundle, rebalance):
    bundle = make_bundle([[10.0, 10.0], [10.0, 20.0], [10.0, NAN], [10.0, NAN]])
    weights = [[0.0, 0.5], [0.0, 0.5], [0.0, 0.0], [0.0, 0.0]]
    run = rbt.backtest(bundle, weights, "next_close", rebalance, rbt.Costs(turnover_bps=100))
    assert run.returns == pytest.approx([0, -0.005, 0, 0], abs=1e-4)
    assert run.orders.tolist() == [0, 1, 0, 0]
    assert run.round_trips.tolist() == [0, 0, 0, 0]
    assert run.exposure[1:] == pytest.approx([0.5] * 3, rel=0.01)


@pytest.mark.parametrize("rebalance", REBALANCES)
@pytest.mark.parametrize("execution", EXECUTIONS)
@given(seed=st.integers(0, 10**6), cut=st.integers(1, 59))
@settings(max_examples=25, deadline=None)
def test_a_run_that_ends_in_a_hole_is_the_beginning_of_the_whole(make_market, execution, rebalance, seed, cut):
    market = make_market(seed)
    costs = rbt.Costs(turnover_bps=5, slippage_bps=1)
    whole = rbt.backtest(market.bundle, market.anywhere, execution, rebalance, costs, "zero")
    begun = rbt.backtest(market.bundle.view(cut), market.anywhere[:cut], execution, rebalance, costs, "zero")
    for name in ("returns", "equity", "traded", "exposure", "orders", "round_trips"):
        assert np.array_equal(getattr(begun, name), getattr(whole, name)[:cut]), name


@pytest.mark.parametrize("execution", EXECUTIONS)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_weights_of_missing_bars_do_not_matter(make_market, execution, seed):
    market = make_market(seed)
    needed = market.bundle.close + (market.bundle.open if execution == "next_open" else 0.0)
    others = np.where(np.isnan(needed), 0.3, market.anywhere)
    for rebalance in REBALANCES:
        runs = [
            rbt.backtest(market.bundle, weights, execution, rebalance, rbt.Costs(turnover_bps=5), "zero")
            for weights in (market.anywhere, others)
        ]
        assert np.array_equal(runs[0].returns, runs[1].returns)


def test_two_indices_with_holidays_of_their_own(make_bundle):
    """Held half and half from the first bar to the last, so the wealth is that of two who hold one each."""
    rng = np.random.default_rng(3)
    close = 100 * np.exp(np.cumsum(rng.normal(4e-4, 0.012, (2520, 2)), axis=0))
    for i in range(2):
        close[rng.choice(np.arange(1, 2519), 90, replace=False), i] = np.nan
    bundle = make_bundle(close)
    held = rbt.backtest(bundle, np.full(close.shape, 0.5), "close", "on_change", missing="zero")
    assert held.metrics()["total_return"] == pytest.approx((close[-1] / close[0]).mean() - 1, rel=1e-12)
    reset = rbt.backtest(bundle, np.full(close.shape, 0.5), "close", "every_bar", missing="zero")
    assert reset.metrics()["total_return"] == pytest.approx(held.metrics()["total_return"], rel=0.2)


@pytest.mark.parametrize("rebalance", REBALANCES)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_fills_and_round_trips_are_those_of_the_standing_targets(make_market, rebalance, seed):
    """Cash covers every order here, so positions have the sign of the target that was filled last."""
    market = make_market(seed, gross=0.5)
    priced = ~np.isnan(market.bundle.close)
    run = rbt.backtest(market.bundle, market.anywhere, "close", rebalance, missing="zero")
    standing = pd.DataFrame(market.anywhere).where(priced).ffill().fillna(0.0).to_numpy()
    before = np.vstack([np.zeros(standing.shape[1]), standing[:-1]])
    assert run.bankrupt_bar is None
    assert run.orders.tolist() == (standing != before).sum(axis=1).tolist()
    ended = (before != 0) & (np.sign(standing) != np.sign(before))
    assert run.round_trips.tolist() == ended.sum(axis=1).tolist()
