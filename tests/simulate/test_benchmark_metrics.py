"""Metrics against a benchmark, and Sharpe ratios above cash, equal independent formulas on all bars and on some."""

from __future__ import annotations

import empyrical
import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.errors import SettingError
from rbt_ray.simulate.benchmark import hold_returns
from rbt_ray.simulate.metrics import BENCHMARK_NAMES, METRIC_NAMES

YEAR = 252.0


@pytest.fixture(scope="module")
def data():
    return rbt.load_bundle("sample").view(600)


def weights(data):
    rng = np.random.default_rng(7)
    return np.where(np.isnan(data.close), 0.0, rng.random(data.close.shape) < 0.5) / data.n_symbols


def expected(returns, benchmark, free):
    """By least squares and empyrical."""
    beta, alpha = np.polyfit(benchmark - free, returns - free, 1)
    return {
        "excess_return": empyrical.cum_returns_final(returns) - empyrical.cum_returns_final(benchmark),
        "alpha": alpha * YEAR,
        "beta": beta,
        "tracking_error": empyrical.annual_volatility(returns - benchmark, annualization=YEAR),
        "information_ratio": empyrical.excess_sharpe(returns, benchmark) * np.sqrt(YEAR),
    }


@pytest.mark.parametrize("free", [0.0, 0.04, "by bar"])
@pytest.mark.parametrize("named", ["hold", "IBM", "returns"])
def test_metrics_equal_independent_ones_on_all_bars_and_on_some(data, named, free):
    rng = np.random.default_rng(3)
    benchmark = (
        rng.normal(0, 0.01, 600) if named == "returns" else hold_returns(data, 600, "IBM" if named == "IBM" else None)
    )
    cash = rng.uniform(0, 0.0003, 600) if free == "by bar" else np.full(600, free / YEAR)
    run = rbt.backtest(
        data,
        weights(data),
        benchmark=benchmark if named == "returns" else named,
        risk_free=cash if free == "by bar" else free,
    )
    plain = rbt.backtest(data, weights(data))
    for bars in (np.arange(600), np.arange(100, 400), np.flatnonzero(rng.random(600) < 0.3)):
        found, returns = run.on(bars), run.returns[bars]
        assert tuple(found) == (*METRIC_NAMES, *BENCHMARK_NAMES)
        for name, value in expected(returns, benchmark[bars], cash[bars]).items():
            assert found[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name
        assert found["sharpe"] == pytest.approx(
            empyrical.sharpe_ratio(returns, cash[bars], annualization=YEAR), rel=1e-9
        )
        others = {name: value for name, value in found.items() if name not in (*BENCHMARK_NAMES, "sharpe")}
        assert others == {name: value for name, value in plain.on(bars).items() if name != "sharpe"}
    assert run.metrics() == run.on(np.arange(600))


def test_a_run_that_is_its_benchmark_has_no_excess(data):
    own = rbt.backtest(data, weights(data)).returns
    found = rbt.backtest(data, weights(data), benchmark=own, risk_free=0.02).metrics()
    assert (found["excess_return"], found["tracking_error"]) == (0, 0)
    assert (found["alpha"], found["beta"]) == (pytest.approx(0, abs=1e-12), pytest.approx(1))
    assert np.isnan(found["information_ratio"])
    flat = rbt.backtest(data, weights(data), benchmark=np.full(600, 0.001)).metrics()
    assert np.isnan(flat["beta"])
    assert np.isnan(flat["alpha"])
    one_bar = rbt.backtest(data, weights(data), benchmark="hold").on(np.array([5]))
    assert np.isnan([one_bar[name] for name in BENCHMARK_NAMES[1:]]).all()


def test_settings_carry_over_to_the_order_level_and_end_with_the_run(data):
    run = rbt.backtest(data, weights(data), rebalance="every_bar", benchmark="hold", drawdown_limit=0.02)
    assert run.ended_bar is not None
    assert run.metrics() == run.on(np.arange(run.ended_bar + 1))
    assert set(BENCHMARK_NAMES) < set(run.at_order_level().metrics())


def test_without_a_benchmark_there_are_no_such_metrics(data):
    assert tuple(rbt.backtest(data, weights(data), risk_free=0.0).metrics()) == METRIC_NAMES


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"benchmark": "MFST"}, "did you mean 'MSFT'"),
        ({"benchmark": np.ones(3)}, r"of shape \(600,\) and finite; got shape \(3,\)"),
        ({"benchmark": np.full(600, np.nan)}, "got a value that is not finite"),
        ({"benchmark": object()}, "`benchmark` is 'hold', a symbol, None, or an array"),
        ({"risk_free": "3%"}, "`risk_free` is a rate a year such as 0.03"),
        ({"risk_free": float("inf")}, "`risk_free` is a finite rate a year"),
    ],
)
def test_what_is_no_benchmark_is_refused(data, settings, message):
    with pytest.raises(SettingError, match=message):
        rbt.backtest(data, weights(data), **settings)


def test_built_in_objectives_refuse_them_with_a_way_out(tmp_path):
    with pytest.raises(SettingError, match="do not compute 'alpha', which needs a benchmark"):
        rbt.objectives.sma_cross(metrics=("sharpe", "alpha"))
    space = {"fast": rbt.randint(5, 60), "slow": rbt.randint(70, 250)}
    where = rbt.RunConfig(storage_path=str(tmp_path), backend="local", verbose=0)
    for settings in ({"metric": "beta"}, {"constraints": ["beta < 0.5"]}):
        tune = rbt.TuneConfig(**{"metric": "sharpe", "num_samples": 3, **settings})
        with pytest.raises(SettingError, match="do not compute 'beta'"):
            rbt.Tuner(
                rbt.objectives.sma_cross(), param_space=space, bundle="sample", tune_config=tune, run_config=where
            ).fit()
