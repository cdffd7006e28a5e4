"""The closed form against explicit loops, hand-computed examples and the promises about time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.errors import InputError
from tests.accounts import by_hand

EXECUTIONS = ("close", "next_close", "next_open")


@pytest.mark.parametrize("execution", EXECUTIONS)
@given(seed=st.integers(0, 10**6), gross=st.sampled_from([1.0, 3.0, 40.0]))
@settings(max_examples=40, deadline=None)
def test_equals_the_formulas_written_out(make_market, execution, seed, gross):
    market = make_market(seed, gross=gross)
    costs = rbt.Costs(turnover_bps=(5, 0, 20), slippage_bps=2, borrow_bps=300, margin_bps=500)
    run = rbt.backtest(market.bundle, market.anywhere, execution, "every_bar", costs, missing="zero")
    expected, traded = by_hand(market.bundle, market.anywhere, execution, (5, 0, 20), 2, 300, 500)
    # Drifted weights are divided by what is left of the equity, so rounding grows where leverage has nearly ruined it.
    worst = 1e-13 * gross / min(1.0, (1 + expected[expected > -1]).min() ** 2)
    np.testing.assert_allclose(run.returns, expected, rtol=worst, atol=worst)
    alive = slice(run.bankrupt_bar)
    np.testing.assert_allclose(run.traded[alive], traded[alive], rtol=worst * 100, atol=worst)
    np.testing.assert_allclose(run.equity, np.cumprod(1 + run.returns), rtol=1e-12, atol=1e-300)


def test_published_formula_on_the_sample(sample):
    """`"close"` with one cost rate, as the documentation writes it, on real prices with late listings."""
    weights = (sample.close > 20) / sample.n_symbols
    close, c = sample.close, 5 / 1e4
    growth = np.nan_to_num(close[1:] / close[:-1], nan=1.0)
    equity = 1 + (weights[:-1] * (growth - 1)).sum(axis=1)
    traded = np.abs(weights[1:] - weights[:-1] * growth / equity[:, None]).sum(axis=1)
    expected = np.concatenate([[-c * weights[0].sum()], equity - 1 - c * traded])
    run = rbt.backtest(sample, weights, "close", "every_bar", rbt.Costs(turnover_bps=5))
    np.testing.assert_allclose(run.returns, expected, rtol=0, atol=1e-15)


def test_resetting_weights_every_bar_is_charged(make_bundle):
    """Half in a symbol that doubles: two thirds by then, so a sixth of the equity is sold, on the bar it doubles."""
    bundle = make_bundle([[10.0], [20.0], [20.0]])
    run = rbt.backtest(bundle, np.full((3, 1), 0.5), "close", "every_bar", rbt.Costs(turnover_bps=60))
    assert run.traded == pytest.approx([0.5, 1 / 6, 0.0])
    assert run.returns == pytest.approx([-0.003, 0.5 - 0.001, 0.0])
    assert run.metrics()["n_fills"] == 1, "no target has changed since the first fill"


def test_next_close_is_close_one_bar_later(sample):
    weights = np.where(np.isnan(sample.close), 0.0, 0.2)
    later = np.vstack([np.zeros(sample.n_symbols), weights[:-1]]) * ~np.isnan(sample.close)
    costs = rbt.Costs(turnover_bps=7)
    next_close = rbt.backtest(sample, weights, "next_close", "every_bar", costs)
    assert np.array_equal(next_close.returns, rbt.backtest(sample, later, "close", "every_bar", costs).returns)


@pytest.mark.parametrize("rebalance", ["every_bar", "on_change"])
@pytest.mark.parametrize("execution", EXECUTIONS)
@given(seed=st.integers(0, 10**6), cut=st.integers(1, 59), gross=st.sampled_from([1.0, 30.0]))
@settings(max_examples=25, deadline=None)
def test_the_past_does_not_depend_on_the_future(make_market, make_bundle, execution, rebalance, seed, cut, gross):
    market = make_market(seed, gross=gross)
    costs = rbt.Costs(turnover_bps=5, slippage_bps=1, borrow_bps=100, margin_bps=100)
    whole = rbt.backtest(market.bundle, market.weights, execution, rebalance, costs)

    close, open_ = np.array(market.bundle.close), np.array(market.bundle.open)
    factors = np.exp(np.random.default_rng(seed).normal(0, 1, close[cut:].shape))
    close[cut:] *= factors
    open_[cut:] *= factors[::-1]
    altered = rbt.backtest(make_bundle(close, open_), market.weights, execution, rebalance, costs)
    view = market.bundle.view(cut)
    prefix = rbt.backtest(view, market.weights[:cut], execution, rebalance, costs)

    for name in ("returns", "equity", "traded", "exposure", "orders"):
        assert np.array_equal(getattr(whole, name)[:cut], getattr(altered, name)[:cut]), name
        assert np.array_equal(getattr(whole, name)[:cut], getattr(prefix, name)), name


@pytest.mark.parametrize("execution", EXECUTIONS)
@given(seed=st.integers(0, 10**6), power=st.integers(-8, 8))
@settings(max_examples=20, deadline=None)
def test_prices_have_no_scale(make_market, make_bundle, execution, seed, power):
    market = make_market(seed)
    scale = 2.0**power  # multiplies without rounding, so the results must not differ at all
    scaled = make_bundle(market.bundle.close * scale, market.bundle.open * scale)
    costs = rbt.Costs(turnover_bps=5)
    runs = [rbt.backtest(bundle, market.weights, execution, "every_bar", costs) for bundle in (market.bundle, scaled)]
    assert np.array_equal(runs[0].returns, runs[1].returns)


def test_costs_by_hand(make_bundle):
    """One long and one short at prices that do not move: so the costs can be separated."""
    flat = make_bundle(np.full((4, 2), 100.0))
    weights = np.tile([1.0, -0.5], (4, 1))

    def returns(**costs):
        return rbt.backtest(flat, weights, "close", "every_bar", rbt.Costs(**costs)).returns.tolist()

    assert returns(turnover_bps=10) == pytest.approx([-0.0015, 0, 0, 0])
    assert returns(turnover_bps=(10, 40)) == pytest.approx([-0.001 - 0.002, 0, 0, 0])
    assert returns(turnover_bps={"S1": 40, "S0": 10}) == pytest.approx([-0.003, 0, 0, 0])
    assert returns(turnover_bps=10, slippage_bps=20) == pytest.approx([-0.0045, 0, 0, 0])
    # 2.52 % a year on half the equity is half a basis point a day.
    assert returns(borrow_bps=252) == pytest.approx([0, -0.00005, -0.00005, -0.00005])
    # The gross weight is 1.5, so half the equity is financed.
    assert returns(margin_bps=252) == pytest.approx([0, -0.00005, -0.00005, -0.00005])


def test_next_open_bar_by_hand(make_bundle):
    bundle = make_bundle([[100.0], [110.0], [99.0]], [[100.0], [105.0], [121.0]])
    run = rbt.backtest(bundle, [[1.0], [-1.0], [0.0]], rebalance="every_bar", costs=rbt.Costs(turnover_bps=10))
    # Bar 1: filled at 105, earns to 110. Bar 2: +1 earns 110 -> 121, then -1 earns 121 -> 99, and 2 is traded.
    assert run.execution == "next_open"
    assert run.returns == pytest.approx([0.0, 110 / 105 - 1 - 0.001, 0.1 - (99 / 121 - 1) - 0.002])
    assert run.traded.tolist() == [0.0, 1.0, 2.0]
    assert run.orders.tolist() == [0, 1, 1]
    assert run.exposure.tolist() == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("rebalance", ["every_bar", "on_change"])
def test_bankruptcy_ends_the_run(make_bundle, rebalance):
    bundle = make_bundle([[10.0], [10.0], [25.0], [5.0], [1.0]])
    run = rbt.backtest(bundle, np.full((5, 1), -1.0), "close", rebalance)
    assert run.returns.tolist() == [0.0, 0.0, -1.0, 0.0, 0.0]
    assert run.equity.tolist() == [1.0, 1.0, 0.0, 0.0, 0.0]
    assert run.bankrupt_bar == 2
    figures = run.metrics()
    assert (figures["total_return"], figures["cagr"], figures["max_drawdown"]) == (-1.0, -1.0, -1.0)
    assert "bankrupt on 2020-01-03" in repr(run)


def test_a_weight_without_a_price_is_an_error_or_zero(sample):
    weights = np.full(sample.close.shape, 0.2)
    with pytest.raises(InputError, match=r"got 0\.2 for 'FB' on 2000-03-01 \(bar 0\).*missing='zero'"):
        rbt.backtest(sample, weights)
    zeroed = np.where(np.isnan(sample.close), 0.0, weights)
    for rebalance in ("every_bar", "on_change"):
        left_out = rbt.backtest(sample, weights, rebalance=rebalance, missing="zero")
        assert np.array_equal(left_out.returns, rbt.backtest(sample, zeroed, rebalance=rebalance).returns)
        assert np.array_equal(left_out.weights, weights)


@pytest.mark.parametrize("rebalance", ["every_bar", "on_change"])
@pytest.mark.parametrize("missing", ["error", "zero"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_weights_that_are_no_numbers_are_always_errors(sample, rebalance, missing, bad):
    weights = np.zeros(sample.close.shape)
    weights[40, 3] = bad
    with pytest.raises(InputError, match=rf"got {bad} for 'IBM' on 2000-04-27 \(bar 40\)"):
        rbt.backtest(sample, weights, rebalance=rebalance, missing=missing)


def test_a_hole_in_the_opens_is_no_price_for_next_open(make_bundle):
    bundle = make_bundle(np.full((3, 1), 10.0), [[10.0], [math.nan], [10.0]])
    weights = [[0.0], [1.0], [0.0]]
    with pytest.raises(InputError, match="a close and an open"):
        rbt.backtest(bundle, weights)
    assert rbt.backtest(bundle, weights, "next_close").orders.tolist() == [0, 0, 1]
    assert not rbt.backtest(bundle, weights, missing="zero").orders.any(), "decided on a bar without a price"
