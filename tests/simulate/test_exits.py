"""Exits of a backtest against a plain loop, vectorbt, the same exits in a compiled rule, and prices worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.errors import SettingError
from tests.objectives.rule_loop import run_rule

COSTS = rbt.Costs(turnover_bps=5, slippage_bps=3, borrow_bps=300)
EXITS = st.fixed_dictionaries(
    {},
    optional={
        "stop_loss": st.floats(0.005, 0.08),
        "take_profit": st.floats(0.005, 0.08),
        "trailing_stop": st.floats(0.005, 0.08),
        "time_stop": st.integers(1, 9),
    },
).filter(bool)
EXECUTIONS = st.sampled_from(["next_open", "next_close", "close"])


def random_bars(seed, n_bars=60, n_symbols=3, holes=0.1, last_bar=None):
    """A bundle with gaps between closes and opens and missing bars, and weights that stay, grow, end and change sides. The first symbol is delisted after `last_bar`."""
    rng = np.random.default_rng(seed)
    shape = (n_bars, n_symbols)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, shape), axis=0))
    open_ = np.vstack([close[:1], close[:-1]]) * np.exp(rng.normal(0, 0.012, shape))
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, 0.012, shape)))
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0, 0.012, shape)))
    fields = {"open": open_, "high": high, "low": low, "close": close}
    missing = rng.random(shape) < holes
    missing[-1] = False
    if last_bar is not None:
        missing[last_bar + 1 :, 0] = True
    for values in fields.values():
        values[missing] = np.nan
    index = np.datetime64("2001-01-01", "ns") + np.arange(n_bars) * np.timedelta64(1, "D")
    ends = None if last_bar is None else {"S0": index[last_bar]}
    symbols = [f"S{i}" for i in range(n_symbols)]
    bundle = rbt.Bundle.from_arrays(fields, index, symbols, periods_per_year=252, listed_until=ends)
    weights = rng.choice([-0.3, 0.0, 0.2, 0.3], shape)
    stays = rng.random(shape) < 0.8
    stays[0] = False
    last = np.maximum.accumulate(np.where(stays, 0, np.arange(n_bars)[:, None]), axis=0)
    return bundle, np.take_along_axis(weights, last, axis=0)


def loop_of(bundle, weights, execution, exits):
    """Returns of the plain loop over bars and symbols."""
    plain = SimpleNamespace(
        step=lambda bar, _: weights[bar.number, bar.symbol], example={}, indicators={}, state=0, costs=COSTS,
        execution=execution, rebalance="on_change", exits=exits,
    )  # fmt: skip
    return run_rule(plain, {}, bundle.view())[1]


@given(seed=st.integers(0, 10**6), exits=EXITS, execution=EXECUTIONS, last_bar=st.none() | st.integers(5, 50))
@settings(max_examples=60, deadline=None)
def test_equals_a_plain_loop(seed, exits, execution, last_bar):
    bundle, weights = random_bars(seed, last_bar=last_bar)
    run = rbt.backtest(bundle, weights, execution, costs=COSTS, missing="zero", **exits)
    np.testing.assert_allclose(run.returns, loop_of(bundle, weights, execution, exits), rtol=1e-9, atol=1e-11)


@given(seed=st.integers(0, 10**6), exits=EXITS, execution=EXECUTIONS, n_bars=st.integers(2, 59))
@settings(max_examples=30, deadline=None)
def test_later_bars_change_nothing_earlier(seed, exits, execution, n_bars):
    bundle, weights = random_bars(seed)
    run = rbt.backtest(bundle, weights, execution, costs=COSTS, missing="zero", **exits)
    part = rbt.backtest(bundle.view(n_bars), weights[:n_bars], execution, costs=COSTS, missing="zero", **exits)
    for name in ("returns", "traded", "exposure", "orders", "round_trips"):
        assert np.array_equal(getattr(part, name), getattr(run, name)[:n_bars]), name


@given(seed=st.integers(0, 10**6), execution=EXECUTIONS)
@settings(max_examples=20, deadline=None)
def test_levels_that_no_bar_reaches_leave_every_bit(seed, execution):
    bundle, weights = random_bars(seed)
    plain = rbt.backtest(bundle, weights, execution, costs=COSTS, missing="zero")
    far = rbt.backtest(bundle, weights, execution, costs=COSTS, missing="zero", take_profit=1e6, time_stop=1e6)
    for name in ("returns", "equity", "traded", "exposure", "orders", "round_trips"):
        assert np.array_equal(getattr(far, name), getattr(plain, name)), name


@pytest.mark.slow
@pytest.mark.parametrize(
    "exits",
    [{"stop_loss": 0.03}, {"take_profit": 0.03}, {"stop_loss": 0.02, "take_profit": 0.04}, {"trailing_stop": 0.03}],
)
def test_equals_vectorbt(exits):
    vectorbt = pytest.importorskip("vectorbt")
    rng, closed = np.random.default_rng(3), 0
    for seed in range(3):
        bundle, _ = random_bars(seed, 400, 1, 0.0)
        long = np.repeat(rng.random(40) < 0.6, 10)[:, None]
        edges = np.diff(long.astype(int), axis=0, prepend=0)
        run = rbt.backtest(bundle, long.astype(float), "close", **exits)
        stop = exits.get("trailing_stop", exits.get("stop_loss", np.nan))
        portfolio = vectorbt.Portfolio.from_signals(
            bundle.close, edges > 0, edges < 0, open=bundle.open, high=bundle.high, low=bundle.low,
            sl_stop=stop, sl_trail="trailing_stop" in exits, tp_stop=exits.get("take_profit", np.nan),
            stop_entry_price="price", stop_exit_price="stoplimit", freq="1D",
        )  # fmt: skip
        np.testing.assert_allclose(run.returns, np.ravel(portfolio.returns()), rtol=0, atol=1e-12)
        closed += int(run.round_trips.sum())
    assert closed > 25


@pytest.mark.slow
def test_equals_a_rule_with_the_same_targets():
    """A rule sends the targets; its backtest is this one, and its sweep, a kernel of its own, has its metrics."""

    def step(bar, params):
        phase = (bar.number + 3 * bar.symbol) % 17
        if phase < 9:
            return params.size if phase < 7 else 0.0
        return -params.size

    exits = {"stop_loss": 0.03, "take_profit": 0.04, "trailing_stop": 0.05, "time_stop": 6}
    bundle, _ = random_bars(1)
    ruled = rbt.objectives.rule(step, {"size": 0.3}, costs=COSTS, **exits)
    names = ("sharpe", "total_return", "max_drawdown", "turnover", "n_trades")
    for execution in ("next_open", "close"):
        one = replace(ruled, execution=execution)
        run = one({"size": 0.3}, bundle.view())
        same = rbt.backtest(bundle, run.weights, execution, costs=COSTS, missing="zero", **exits)
        assert np.array_equal(run.returns, same.returns)
        assert run.ambiguous_bars == same.ambiguous_bars
        swept = one.evaluate(bundle.view(), {"size": np.array([0.3])}, names)
        for name in names:
            assert swept[name][0] == pytest.approx(run.metrics()[name], rel=1e-9), name


def held_through(*rows, side=1.0, **exits):
    """Bought (or sold) at the open of the second bar and kept."""
    table = np.array(rows, float)
    fields = {name: table[:, [k]] for k, name in enumerate(("open", "high", "low", "close"))}
    index = np.datetime64("2001-01-01", "ns") + np.arange(len(rows)) * np.timedelta64(1, "D")
    bundle = rbt.Bundle.from_arrays(fields, index, ["A"], periods_per_year=252)
    return rbt.backtest(bundle, np.full((len(rows), 1), side), costs=rbt.Costs(), **exits)


FLAT = (100, 100, 100, 100)


@pytest.mark.parametrize(
    ("bar", "price", "ambiguous"),
    [
        ((100, 105, 85, 95), 90.0, 0),
        ((80, 101, 79, 95), 80.0, 0),  # behind a gap: at the open
        ((100, 120, 99, 95), 110.0, 0),
        ((100, 120, 80, 100), 90.0, 1),  # both: the stop, and it is counted
        ((112, 120, 80, 100), 112.0, 0),  # the open is beyond the profit, so nothing is in doubt
    ],
)
def test_the_price_that_fills(bar, price, ambiguous):
    run = held_through(FLAT, FLAT, bar, (100, 300, 1, 200), stop_loss=0.1, take_profit=0.1)
    assert run.equity[-1] == pytest.approx(price / 100, abs=1e-12)
    assert run.orders.tolist() == [0, 1, 1, 0]
    assert run.ambiguous_bars == ambiguous
    assert ("ambiguous bars: 1" in repr(run)) == bool(ambiguous)


def test_a_short_position_is_stopped_above_its_entry():
    run = held_through(FLAT, FLAT, (100, 120, 80, 100), FLAT, side=-1.0, stop_loss=0.1, take_profit=0.1)
    assert run.equity[-1] == pytest.approx(0.9)
    assert run.ambiguous_bars == 1


@pytest.mark.parametrize(
    ("given_settings", "shown"),
    [
        ({"stop_loss": "stop"}, "`stop_loss` is a number from 1e-06 to 1, or None; got 'stop'"),
        ({"trailing_stop": 1.5}, "`trailing_stop` is a number from 1e-06 to 1"),
        ({"time_stop": 0}, "`time_stop` is a number, at least 1"),
        ({"take_profit": 0.1, "rebalance": "every_bar"}, "`take_profit` needs rebalance='on_change'; got 'every_bar'"),
    ],
)
def test_settings_are_checked(given_settings, shown):
    with pytest.raises(SettingError) as refused:
        held_through(FLAT, FLAT, **given_settings)
    assert shown in str(refused.value)


def test_exits_need_highs_and_lows(make_bundle):
    with pytest.raises(SettingError, match="needs the fields open, high and low"):
        rbt.backtest(make_bundle([[1.0], [1.0]]), np.ones((2, 1)), stop_loss=0.1)
