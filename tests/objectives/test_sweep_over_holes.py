"""The sweep of every built-in objective against loops that trade only where there is a price, on random holes and ends."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray import objectives
from tests.listings import LOOPS, Rates, ending_market
from tests.objectives.test_builtin_oracle import positions_of

EXECUTIONS = ("close", "next_close", "next_open")
BPS = 20.0
NAMES = ("total_return", "sharpe", "max_drawdown", "turnover", "exposure", "n_fills", "n_trades")
MARKETS = {
    "seed": st.integers(0, 10**6),
    "n_bars": st.integers(30, 300),
    "n_symbols": st.integers(1, 5),
    "execution": st.sampled_from(EXECUTIONS),
}


def assert_equal_to_the_loop(strategy, data, columns):
    bars = {field: pd.DataFrame(data[field]) for field in data.fields}
    n_configs = len(next(iter(columns.values())))
    swept = strategy.evaluate(data.view(), columns, NAMES)
    for row in range(n_configs):
        config = {name: values[row] for name, values in columns.items()}
        weights = positions_of(strategy.name, bars, config).to_numpy() / data.n_symbols
        loop = LOOPS[strategy.rebalance](data, weights, strategy.execution, Rates(BPS / 1e4))
        assert loop.equity.all(), "the costs and targets here leave nobody bankrupt"
        for name, value in loop.metrics(data.periods_per_year).items():
            # A Sharpe ratio has lost digits where the mean is small against the deviation.
            leeway = 1e-9 if name == "sharpe" else 1e-12
            assert swept[name][row] == pytest.approx(value, rel=leeway, abs=1e-12, nan_ok=True), (name, config)


@pytest.mark.parametrize("name", objectives.BUILTIN)
@pytest.mark.parametrize("rebalance", sorted(LOOPS))
@given(**MARKETS)
@settings(max_examples=5, deadline=None)
def test_equals_the_loop(configs_of, name, rebalance, seed, n_bars, n_symbols, execution):
    data = ending_market(seed, n_bars, n_symbols)
    strategy = getattr(objectives, name)(BPS, execution, rebalance=rebalance)
    assert_equal_to_the_loop(strategy, data, configs_of(strategy, 2, seed, longest=12))


@pytest.mark.slow
@pytest.mark.parametrize("name", objectives.BUILTIN)
@pytest.mark.parametrize("rebalance", sorted(LOOPS))
@given(**MARKETS)
@settings(max_examples=40, deadline=None)
def test_equals_the_loop_many_times(configs_of, name, rebalance, seed, n_bars, n_symbols, execution):
    data = ending_market(seed, n_bars, n_symbols)
    strategy = getattr(objectives, name)(BPS, execution, rebalance=rebalance)
    assert_equal_to_the_loop(strategy, data, configs_of(strategy, 3, seed, longest=12))


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("rebalance", sorted(LOOPS))
@pytest.mark.parametrize("last", [126, 127, 128, 190, 191, 192, 255, 256])
def test_ends_at_the_edges_of_words_and_tiles(rebalance, execution, last):
    """Held from bar 10 on; the bar whose target is replaced lies in another word or tile than the bar of the fill."""
    close = np.column_stack([np.linspace(10, 30, 300), np.linspace(10, 40, 300), np.linspace(10, 20, 300)])
    close[last + 1 :, 1] = np.nan
    close[last, 2] = np.nan
    index = np.datetime64("2020-01-01", "ns") + np.arange(300) * np.timedelta64(1, "D")
    fields = {"close": close, "open": close * 1.001}
    data = rbt.Bundle.from_arrays(fields, index, ["A", "B", "C"], listed_until={"B": index[last]})
    strategy = rbt.objectives.momentum(BPS, execution, rebalance=rebalance)
    assert_equal_to_the_loop(strategy, data, {"lookback": np.array([10.0, 5.0]), "threshold": np.zeros(2)})
    assert strategy.evaluate(data.view(), {"lookback": [10.0], "threshold": [0.0]}, ("n_trades",))["n_trades"] == [1]


@pytest.mark.parametrize("name", objectives.BUILTIN)
@pytest.mark.parametrize("rebalance", sorted(LOOPS))
@given(seed=st.integers(0, 10**6), execution=st.sampled_from(EXECUTIONS))
@settings(max_examples=5, deadline=None)
def test_before_the_first_close_out_a_declaration_changes_no_bit(configs_of, name, rebalance, seed, execution):
    data = ending_market(seed, 200)
    plain = rbt.Bundle.from_arrays(
        {field: data[field] for field in data.fields}, data.index, data.symbols, periods_per_year=252
    )
    cut = min((int(np.searchsorted(data.index, end, "right")) for end in data.listed_until.values()), default=200)
    strategy = getattr(objectives, name)(BPS, execution, rebalance=rebalance)
    columns = configs_of(strategy, 8, seed, longest=12)
    declared, undeclared = (strategy.evaluate(bundle.view(cut), columns) for bundle in (data, plain))
    for metric, values in declared.items():
        assert np.array_equal(values, undeclared[metric], equal_nan=True), metric
