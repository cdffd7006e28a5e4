"""RustyBT's Monte Carlo, noise infusion and sensitivity, against plain loops."""

from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest

from rbt_ray.compat.rustybt import (
    MonteCarloSimulator,
    NoiseInfusionSimulator,
    SensitivityAnalyzer,
    calculate_stability_score,
)
from rbt_ray.errors import NotSupportedError, SettingError

RNG = np.random.default_rng(4)
RETURNS = RNG.normal(0.01, 0.05, 40)
TRADES = pl.DataFrame({"return": RETURNS, "pnl": RETURNS * 10_000})
OBSERVED = {"sharpe_ratio": Decimal("1.5"), "max_drawdown": Decimal("0.12"), "win_rate": Decimal("0.6")}


def drawdown(pnl, capital=100_000.0):
    equity = peak = capital
    deepest = 0.0
    for one in pnl:
        equity += one
        peak = max(peak, equity)
        deepest = max(deepest, 1 - equity / peak)
    return deepest


def test_orders_of_trades_change_the_drawdown_only():
    found = MonteCarloSimulator(n_simulations=200, seed=3).run(TRADES, OBSERVED)
    rng = np.random.default_rng(3)
    expected = [drawdown(RETURNS[rng.permutation(40)] * 10_000) for _ in range(200)]
    np.testing.assert_allclose([float(one) for one in found.simulated_metrics["max_drawdown"]], expected)
    for name in ("sharpe_ratio", "total_return", "win_rate"):
        assert len(set(found.simulated_metrics[name])) == 1
    sharpe = RETURNS.mean() / RETURNS.std(ddof=1) * np.sqrt(252)
    assert float(found.simulated_metrics["sharpe_ratio"][0]) == pytest.approx(sharpe)
    assert float(found.simulated_metrics["total_return"][0]) == pytest.approx(RETURNS.sum() * 0.1)
    low, high = found.confidence_intervals["max_drawdown"]
    assert [float(low), float(high)] == pytest.approx(np.quantile(expected, [0.025, 0.975]).tolist())
    assert float(found.percentile_ranks["max_drawdown"]) == pytest.approx(100 * np.mean(np.array(expected) < 0.12))
    assert "max_drawdown: 0.1200" in found.get_summary("max_drawdown")


@pytest.mark.parametrize("name", ["p_values", "is_significant", "is_robust"])
def test_p_values_of_orders_are_refused(name):
    found = MonteCarloSimulator(n_simulations=100, seed=3).run(TRADES, OBSERVED)
    with pytest.raises(NotSupportedError, match=f"{name}.*says nothing about skill"):
        getattr(found, name)


def test_a_bootstrap_draws_trades_again_and_reads_pandas():
    found = MonteCarloSimulator(n_simulations=100, method="bootstrap", seed=3).run(TRADES.to_pandas(), OBSERVED)
    rng = np.random.default_rng(3)
    expected = [RETURNS[rng.integers(0, 40, 40)] for _ in range(100)]
    values = [float(one) for one in found.simulated_metrics["sharpe_ratio"]]
    np.testing.assert_allclose(values, [one.mean() / one.std(ddof=1) * np.sqrt(252) for one in expected])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: MonteCarloSimulator(n_simulations=99), "n_simulations"),
        (lambda: MonteCarloSimulator(method="shuffle"), "method"),
        (lambda: MonteCarloSimulator(confidence_level=1.0), "confidence_level"),
        (lambda: MonteCarloSimulator(100).run(TRADES, {}), "observed_metrics"),
        (lambda: MonteCarloSimulator(100).run(TRADES[:0], OBSERVED), "at least one row"),
        (lambda: MonteCarloSimulator(100).run(TRADES.drop("pnl"), OBSERVED), "pnl"),
        (lambda: MonteCarloSimulator(100).run({"return": [np.nan], "pnl": [1.0]}, OBSERVED), "missing values"),
        (lambda: MonteCarloSimulator(100).run(TRADES, OBSERVED).get_summary("alpha"), "metric"),
        (lambda: NoiseInfusionSimulator(std_pct=0), "std_pct"),
        (lambda: NoiseInfusionSimulator(noise_model="pink"), "noise_model"),
        (lambda: NoiseInfusionSimulator(100).run(BARS.drop("volume"), backtest), "volume"),
        (lambda: NoiseInfusionSimulator(100).run(BARS[:0], backtest), "at least one row"),
        (lambda: NoiseInfusionSimulator(100).run(BARS.with_columns(high=pl.col("low")), backtest), "outside of low"),
        (lambda: NoiseInfusionSimulator(100).run(BARS, lambda bars: {}), "returned none"),
        (lambda: NoiseInfusionSimulator(100, n_jobs=0).run(BARS, backtest), "n_jobs"),
        (lambda: SensitivityAnalyzer({"x": 1.0}, n_points=2), "n_points"),
        (lambda: SensitivityAnalyzer({"x": "a"}), "base_params"),
        (lambda: SensitivityAnalyzer({"x": 1.0}, perturbation_pct=0), "perturbation_pct"),
        (lambda: SensitivityAnalyzer({"x": 1.0}).analyze(sum, {"y": (0, 1)}), "not in `base_params`"),
        (lambda: SensitivityAnalyzer({"x": 1.0}).analyze(sum, {"x": (1, 1)}), "empty"),
        (lambda: SensitivityAnalyzer({"x": 1.0}).analyze_interaction("x", "y", sum), "must have 'y'"),
    ],
)
def test_bad_arguments_are_refused(make, says):
    with pytest.raises(SettingError, match=says):
        make()


CLOSE = 100 * np.exp(np.cumsum(RNG.normal(0, 0.01, 120)))
OPEN = CLOSE * np.exp(RNG.normal(0, 0.005, 120))
BARS = pl.DataFrame(
    {
        "open": OPEN,
        "high": np.maximum(OPEN, CLOSE) * 1.001,
        "low": np.minimum(OPEN, CLOSE) * 0.999,
        "close": CLOSE,
        "volume": np.arange(120),
    }
)


def backtest(bars):
    close = np.asarray(bars["close"])
    change = np.diff(close) / close[:-1]
    returns = np.sign(change[:-1]) * change[1:]
    return {"sharpe_ratio": Decimal(str(returns.mean() / returns.std())), "last": close[-1]}


@pytest.mark.parametrize("bars", [BARS, BARS.to_pandas()], ids=["polars", "pandas"])
@pytest.mark.parametrize("model", ["gaussian", "bootstrap"])
def test_noise_keeps_the_ratios_of_a_bar(bars, model):
    noisy = NoiseInfusionSimulator(100, noise_model=model, seed=1).add_noise(bars, sim_seed=5)
    factor = np.asarray(noisy["close"]) / CLOSE
    for name in ("open", "high", "low"):
        np.testing.assert_allclose(np.asarray(noisy[name]) / np.asarray(bars[name]), factor)
    assert (np.asarray(noisy["volume"]) == np.arange(120)).all()
    assert type(noisy) is type(bars)
    assert np.log(factor).std() == pytest.approx(0.01, rel=0.4)


def test_noise_adds_up_if_the_structure_is_preserved():
    def steps(**kw):
        noisy = NoiseInfusionSimulator(100, seed=1, **kw).add_noise(BARS)
        return np.log(np.asarray(noisy["close"]) / CLOSE)

    np.testing.assert_allclose(steps(preserve_structure=True), np.cumsum(steps()))


def test_figures_are_those_of_the_single_backtests_with_any_number_of_workers():
    simulator = NoiseInfusionSimulator(100, std_pct=0.005, seed=7)
    found = simulator.run(BARS, backtest)
    values = np.array([float(backtest(simulator.add_noise(BARS, 7 + i))["sharpe_ratio"]) for i in range(100)])
    np.testing.assert_allclose([float(one) for one in found.noisy_metrics["sharpe_ratio"]], values)
    original = float(backtest(BARS)["sharpe_ratio"])
    assert float(found.mean_metrics["sharpe_ratio"]) == pytest.approx(values.mean())
    assert float(found.std_metrics["sharpe_ratio"]) == pytest.approx(values.std(ddof=1))
    assert float(found.worst_case_metrics["sharpe_ratio"]) == pytest.approx(np.quantile(values, 0.05))
    fall = (original - values.mean()) / abs(original) * 100
    assert float(found.degradation_pct["sharpe_ratio"]) == pytest.approx(fall)
    assert found.is_robust["sharpe_ratio"] == (fall < 20)
    assert found.is_fragile["sharpe_ratio"] == (fall > 50)
    assert found.is_robust["last"]
    assert "100 simulations, gaussian noise" in found.get_summary()
    assert NoiseInfusionSimulator(100, std_pct=0.005, seed=7, n_jobs=2).run(BARS, backtest) == found


def surface(params):
    return -((params["x"] - 2) ** 2) + params["x"] * params["y"]


def test_the_objective_is_evaluated_along_each_parameter():
    analyzer = SensitivityAnalyzer({"x": 2.0, "y": 0.0}, n_points=5)
    found = analyzer.analyze(surface)
    grid = np.linspace(1, 3, 5)
    assert found["x"].param_values == grid.tolist()
    values = -((grid - 2) ** 2)
    np.testing.assert_allclose(found["x"].objective_values, values)
    assert found["x"].base_objective == 0
    assert found["x"].variance == pytest.approx(values.var())
    assert found["x"].max_gradient == pytest.approx(1.5)
    assert found["x"].stability_score == calculate_stability_score(
        found["x"].variance, found["x"].max_gradient, found["x"].max_curvature
    )
    assert found["y"].param_values == np.linspace(-1, 1, 5).tolist()  # by 1 from a base of 0
    assert found["y"].max_gradient == pytest.approx(2)
    assert found["x"].confidence_lower is None
    assert "| x | 2 | 0 |" in analyzer.generate_report()
    assert SensitivityAnalyzer({"x": 2.0, "y": 0.0}, n_points=5, n_jobs=2).analyze(surface) == found


def test_an_interaction_is_the_cross_difference():
    analyzer = SensitivityAnalyzer({"x": 2.0, "y": 1.0}, n_points=5)
    found = analyzer.analyze_interaction("x", "y", surface, {"x": (0, 4), "y": (0, 2)})
    expected = [[surface({"x": x, "y": y}) for y in found.param2_values] for x in found.param1_values]
    np.testing.assert_allclose(found.objective_matrix, expected)
    assert found.interaction_strength == pytest.approx(0.5)  # d2/dxdy = 1, in steps of 1 and 0.5
    assert found.has_interaction
    assert "| x, y | 0.5 |" in analyzer.generate_report()
    apart = analyzer.analyze_interaction("x", "y", lambda params: params["x"] + params["y"] ** 2)
    assert not apart.has_interaction


def test_mappings_of_lists_are_trades_too():
    table = {"return": RETURNS.tolist(), "pnl": (RETURNS * 10_000).tolist()}
    one = MonteCarloSimulator(100, seed=1).run(table, OBSERVED)
    assert one == MonteCarloSimulator(100, seed=1).run(pd.DataFrame(table), OBSERVED)
