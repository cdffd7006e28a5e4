"""A validation by a return chooses on recorded growth where its windows consist of blocks, and evaluates nothing again."""

import itertools

import numpy as np
import pandas as pd
import pytest

import rbt_ray as rbt

SYMBOLS = ("A", "B", "C")
DAYS = pd.bdate_range("2010-01-04", periods=960)
CLOSES = 100 * np.exp(np.cumsum(np.random.default_rng(4).normal(3e-4, 0.01, (len(DAYS), len(SYMBOLS))), axis=0))
SPACE = {"fast": rbt.choice([2, 3, 5, 8]), "slow": rbt.choice([10, 20, 30])}
CONFIGS = list(itertools.product(SPACE["fast"].options, SPACE["slow"].options))
BUILT_IN = rbt.objectives.sma_cross(turnover_bps=0, execution="close", rebalance="every_bar")


def crossing(params, data):
    weights = (data.sma("close", params["fast"]) > data.sma("close", params["slow"])) / data.n_symbols
    return rbt.backtest(data, weights, execution="close", rebalance="every_bar", costs=rbt.Costs())


def returned(params, data):
    run = crossing(params, data)
    return {**run.metrics(), "returns": np.array(run.returns)}


def in_pandas(fast, slow):
    """The returns of a crossover of averages: yesterday's weights times today's changes."""
    frame = pd.DataFrame(CLOSES, DAYS, SYMBOLS)
    weights = (frame.rolling(fast).mean() > frame.rolling(slow).mean()) / len(SYMBOLS)
    return (weights.shift(1, fill_value=0.0) * frame.pct_change().fillna(0.0)).sum(axis=1)


def by_hand(returns, metric):
    equity = float(np.prod(1.0 + returns))
    return equity - 1.0 if metric == "total_return" else equity ** (252 / len(returns)) - 1.0


def run(folder, objective, metric, validation, name="s"):
    return rbt.Tuner(
        objective,
        param_space=SPACE,
        bundle=rbt.Bundle.from_arrays({"close": CLOSES}, DAYS, SYMBOLS),
        tune_config=rbt.TuneConfig(metric=metric, validation=validation, seed=3, search_alg="grid", holdout=0.1),
        run_config=rbt.RunConfig(
            name=name, storage_path=folder, verbose=0, recheck=0, num_workers=2, backend="local"
        ),
    ).fit()  # fmt: skip


@pytest.mark.parametrize("objective", [crossing, returned, BUILT_IN], ids=["config", "dict", "sweep"])
@pytest.mark.parametrize("metric", ["total_return", "cagr"])
def test_windows_of_blocks_need_no_evaluation(tmp_path, objective, metric):
    for number, validation in enumerate((rbt.WalkForward(5, 2), rbt.CPCV(16, 2))):
        results = run(tmp_path, objective, metric, validation, f"s{number}")
        assert not (results.path / "validation").exists()
        for window in results.walk_forward().windows:
            train = np.concatenate([np.arange(*ends) for ends in window.train])
            values = {one: by_hand(in_pandas(*one).to_numpy()[train], metric) for one in CONFIGS}
            assert (window.config["fast"], window.config["slow"]) == max(values, key=values.get)
            assert window.in_sample == pytest.approx(max(values.values()), rel=1e-9)


@pytest.mark.parametrize("metric", ["calmar", "total_return"])
def test_other_windows_and_metrics_are_computed_in_a_sweep_and_equal_backtests(tmp_path, metric):
    validation = rbt.CPCV(5, 2, purge=4, embargo=2)
    view = rbt.Bundle.from_arrays({"close": CLOSES}, DAYS, SYMBOLS).view()
    for window in run(tmp_path, BUILT_IN, metric, validation).walk_forward().windows:
        train = np.concatenate([np.arange(*ends) for ends in window.train])
        values = {one: BUILT_IN(dict(zip(SPACE, one, strict=True)), view).on(train)[metric] for one in CONFIGS}
        assert (window.config["fast"], window.config["slow"]) == max(values, key=values.get)
        assert window.in_sample == pytest.approx(max(values.values()), rel=1e-9)
