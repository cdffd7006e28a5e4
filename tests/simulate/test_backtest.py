"""`backtest` and `Backtest` as a user meets them."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import rbt_ray as rbt
from rbt_ray.errors import InputError, SettingError, ShapeError


@pytest.fixture(scope="module")
def run(sample):
    weights = np.where(np.isnan(sample.close), 0.0, 0.2)
    return rbt.backtest(sample, weights, rebalance="every_bar", costs=rbt.Costs(turnover_bps=5))


def test_fills_at_the_next_open_where_there_are_opens(sample, make_bundle, run):
    closes = make_bundle(np.full((3, 1), 5.0))
    assert run.execution == "next_open"
    assert rbt.backtest(closes, np.zeros((3, 1))).execution == "next_close"


def test_holdings_drift_unless_asked_otherwise(sample, run):
    costs = rbt.Costs(turnover_bps=5)
    plain = rbt.backtest(sample, run.weights, costs=costs)
    assert plain.rebalance == "on_change"
    assert np.array_equal(plain.returns, run.at_order_level().returns)
    # Five names of equal weight are bought once and kept; resetting them each bar trades more, and is charged.
    assert plain.traded.sum() < 1.1 < run.traded.sum()
    free = rbt.backtest(sample, run.weights, rebalance="every_bar")
    charged = (free.equity[-1] / run.equity[-1]) ** (1 / run.traded.sum()) - 1
    assert charged == pytest.approx(5e-4, rel=0.01)


def test_a_backtests_curves_and_metrics(sample, run):
    assert run.returns.shape == run.equity.shape == (sample.n_bars,)
    assert run.weights.shape == (sample.n_bars, sample.n_symbols)
    assert run.symbols == sample.symbols
    assert run.periods_per_year == 252
    assert np.array_equal(run.index, sample.index)
    assert run.rebalance == "every_bar"
    assert run.bankrupt_bar is None
    assert run.equity[-1] == pytest.approx(1 + run.metrics()["total_return"], rel=1e-13)
    for array in (run.returns, run.equity, run.weights, run.traded, run.exposure, run.orders, run.round_trips):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_at_order_level_keeps_the_settings(sample, run):
    orders = run.at_order_level()
    same = rbt.backtest(sample, run.weights, "next_open", "on_change", rbt.Costs(turnover_bps=5))
    assert np.array_equal(orders.returns, same.returns)
    assert orders.rebalance == "on_change"
    assert orders.at_order_level() is orders


def test_shows_itself(run):
    assert repr(run).startswith(
        "Backtest(3270 bars from 2000-03-01 to 2013-03-01, 5 symbols, next_open, every_bar: sharpe="
    )
    page = run._repr_html_()
    assert page.count("<tr>") == 13
    assert "max_drawdown" in page


def test_pickles(run):
    copy = pickle.loads(pickle.dumps(run))
    assert copy.metrics() == run.metrics()
    assert np.array_equal(copy.at_order_level().returns, run.at_order_level().returns)


def test_takes_booleans_lists_and_fortran_order(make_bundle):
    bundle = make_bundle([[1.0, 1.0], [2.0, 4.0]])
    expected = rbt.backtest(bundle, np.array([[1.0, 0.0], [1.0, 0.0]]), "close").returns.tolist()
    for weights in ([[1, 0], [1, 0]], np.array([[True, False], [True, False]]), np.asfortranarray([[1.0, 0], [1, 0]])):
        assert rbt.backtest(bundle, weights, "close").returns.tolist() == expected == [0.0, 1.0]


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"weights": np.zeros(3)}, ShapeError, r"\(n_bars, n_symbols\) = \(3, 1\); got \(3,\)\. .*np\.broadcast_to"),
        ({"weights": np.zeros((1, 3))}, ShapeError, r"= \(3, 1\); got \(1, 3\)"),
        ({"weights": 0.5}, ShapeError, r"= \(3, 1\); got \(\)"),
        ({"weights": [["a"], ["b"], ["c"]]}, ShapeError, r"`weights` is an array of numbers"),
        (
            {"execution": "open"},
            SettingError,
            r"`execution` is one of 'next_open', 'next_close', 'close'; got 'open'\.",
        ),
        (
            {"execution": "next_open"},
            SettingError,
            r"needs a field \"open\"; the bundle has 'close'\. Use 'next_close'",
        ),
        ({"rebalance": "daily"}, SettingError, r"`rebalance` is one of 'every_bar', 'on_change'; got 'daily'\."),
        ({"missing": "drop"}, SettingError, r"`missing` is one of 'error', 'zero'; got 'drop'\."),
        ({"costs": 5}, SettingError, r"`costs` is a Costs, such as Costs\(turnover_bps=5\); got 5\."),
        (
            {"whole_units": True, "rebalance": "every_bar"},
            SettingError,
            r"`whole_units` needs orders, so rebalance='on_change'; got 'every_bar'",
        ),
        ({"data": np.ones((3, 1))}, InputError, r"`data` is a bundle or a view of one; got a ndarray\."),
        ({"initial_cash": "1e5"}, SettingError, r"`initial_cash` is .*; got '1e5'\."),
        ({"initial_cash": 0}, SettingError, r"`initial_cash` is a finite amount of money above 0; got 0\."),
    ],
)
def test_refused(make_bundle, arguments, error, sentence):
    bundle = make_bundle(np.full((3, 1), 5.0))
    with pytest.raises(error, match=sentence):
        rbt.backtest(**({"data": bundle, "weights": np.zeros((3, 1))} | arguments))


def test_a_frame_of_weights_with_the_symbols_in_another_order_is_refused(sample, run):
    frame = pd.DataFrame(run.weights, columns=list(sample.symbols))
    assert np.array_equal(rbt.backtest(sample, frame).weights, run.weights)
    with pytest.raises(ShapeError, match=r"in another order: MSFT.*weights\[list\(data.symbols\)\]"):
        rbt.backtest(sample, frame[list(sample.symbols[::-1])])


@pytest.mark.parametrize("bar", [-1, 3270, 0.5])
def test_since_refuses_a_bar_outside_the_run(run, bar):
    with pytest.raises(SettingError, match=rf"0 to 3269; got {bar}\."):
        run.since(bar)


def test_averages_need_neither_numba_nor_pandas():
    code = (
        "import sys, numpy; from rbt_ray.simulate.indicators import sma; sma(numpy.ones((9, 2)), 3); "
        "assert not {'numba', 'pandas', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_simulating_needs_no_pandas():
    code = "import sys; import rbt_ray.simulate.backtest; assert not {'pandas', 'pyarrow', 'scipy.stats'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["ir", "returns"])
def test_an_attribute_cannot_be_set_and_the_error_says_how_to_record_a_metric(name):
    data = rbt.load_bundle("sample").view()
    run = rbt.backtest(data, np.zeros_like(data.close))
    with pytest.raises(AttributeError, match=rf"return {{\*\*run.metrics\(\), '{name}': value}} from the objective"):
        setattr(run, name, 1.0)
