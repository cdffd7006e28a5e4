"""The metrics against published definitions and empyrical-reloaded."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.simulate.metric_kernel import metrics_of
from rbt_ray.simulate.metrics import METRIC_NAMES


def figures_of(returns, periods_per_year=252.0, traded=None, exposure=None, orders=None, closed=None):
    returns = np.asarray(returns, float)
    zeros = np.zeros(len(returns))
    return metrics_of(
        returns,
        zeros if traded is None else np.asarray(traded, float),
        zeros if exposure is None else np.asarray(exposure, float),
        np.zeros(len(returns), np.int64) if orders is None else np.asarray(orders, np.int64),
        np.zeros(len(returns), np.int64) if closed is None else np.asarray(closed, np.int64),
        periods_per_year,
    )


@given(
    returns=st.lists(st.floats(-0.5, 0.5, allow_subnormal=False).map(lambda x: round(x, 6)), min_size=3, max_size=60),
    periods_per_year=st.sampled_from([12.0, 252.0, 365.0]),
)
@settings(max_examples=100, deadline=None)
def test_agree_with_empyrical_and_scipy(returns, periods_per_year):
    import empyrical  # here, since it takes half a second

    returns = np.array(returns)
    figures = figures_of(returns, periods_per_year)
    kwargs = {"annualization": periods_per_year}
    close = {"rel": 1e-9, "abs": 1e-12}
    assert figures["total_return"] == pytest.approx(empyrical.cum_returns_final(returns), **close)
    assert figures["cagr"] == pytest.approx(empyrical.cagr(returns, **kwargs), **close)
    assert figures["volatility"] == pytest.approx(empyrical.annual_volatility(returns, **kwargs), **close)
    assert figures["max_drawdown"] == pytest.approx(empyrical.max_drawdown(returns), **close)
    if np.ptp(returns) > 1e-3:
        assert figures["sharpe"] == pytest.approx(empyrical.sharpe_ratio(returns, **kwargs), **close)
        assert figures["skew"] == pytest.approx(scipy.stats.skew(returns), rel=1e-6, abs=1e-6)
        assert figures["kurtosis"] == pytest.approx(scipy.stats.kurtosis(returns, fisher=False), rel=1e-6)
    if returns.min() < 0:
        assert figures["sortino"] == pytest.approx(empyrical.sortino_ratio(returns, **kwargs), **close)
        assert figures["calmar"] == pytest.approx(empyrical.calmar_ratio(returns, **kwargs), rel=1e-6, abs=1e-9)


def test_known_answers():
    figures = figures_of([0.1, -0.5, 0.2, 0.0], 4.0, [1, 0, 3, 0], [1, 1, 0, 0], [1, 0, 2, 0], [0, 0, 1, 0])
    assert list(figures) == list(METRIC_NAMES)
    assert figures["total_return"] == pytest.approx(1.1 * 0.5 * 1.2 - 1)
    assert figures["cagr"] == pytest.approx(figures["total_return"]), "four quarters are a year"
    assert figures["max_drawdown"] == pytest.approx(-0.5)
    assert figures["calmar"] == pytest.approx(figures["cagr"] / 0.5)
    assert figures["sortino"] == pytest.approx(-0.05 / 0.25 * 2)
    assert (figures["turnover"], figures["exposure"], figures["n_fills"], figures["n_trades"]) == (4.0, 0.5, 3, 1)
    assert all(type(value) is (int if name in ("n_fills", "n_trades") else float) for name, value in figures.items())


def test_the_first_loss_is_a_drawdown():
    assert figures_of([-0.25, 0.1])["max_drawdown"] == -0.25


@pytest.mark.parametrize("constant", [0.0, 0.01, 1 / 3, -0.07])
@pytest.mark.parametrize("noise", [0.0, 1e-16])
def test_ratios_of_constant_returns_are_nan(constant, noise):
    """Also where they are constant up to rounding, as returns of a price that grows evenly are."""
    returns = constant * (1 + noise * np.random.default_rng(0).normal(size=5000))
    figures = figures_of(returns)
    assert [name for name in ("sharpe", "skew", "kurtosis") if not math.isnan(figures[name])] == []
    assert math.isnan(figures["sortino"]) == (constant >= 0)
    assert math.isnan(figures["calmar"]) == (constant >= 0)
    assert figures["volatility"] < 1e-12


def test_one_bar_has_no_deviation():
    figures = figures_of([0.02])
    assert figures["total_return"] == pytest.approx(0.02)
    assert math.isnan(figures["volatility"])
    assert math.isnan(figures["sharpe"])


def test_sharpe_estimates_a_known_ratio():
    """Normal returns of mean 0.05 and deviation 1: within six standard errors, sqrt(1 / n) each."""
    returns = np.random.default_rng(5).normal(0.05, 1.0, 200_000) / 1000
    assert abs(figures_of(returns, 1.0)["sharpe"] - 0.05) < 6 / 200_000**0.5
    assert abs(figures_of(returns, 1.0)["kurtosis"] - 3) < 6 * (24 / 200_000) ** 0.5


def test_one_pass_sums_equal_two_pass_sums(sample):
    """What sweep kernels do: sums of returns and of their squares, without the mean known first."""
    weights = np.where(np.isnan(sample.close), 0.0, 0.2)
    run = rbt.backtest(sample, weights, costs=rbt.Costs(turnover_bps=5))
    n = len(run.returns)
    total, squares = math.fsum(run.returns), math.fsum(run.returns**2)
    mean = total / n
    sharpe = mean / math.sqrt((squares - n * mean * mean) / (n - 1)) * math.sqrt(252)
    assert run.metrics()["sharpe"] == pytest.approx(sharpe, rel=1e-12)
    assert run.metrics()["turnover"] == pytest.approx(math.fsum(run.traded) / n * 252, rel=1e-12)


def test_since_counts_only_the_bars_from_there(sample):
    weights = np.where(np.isnan(sample.close), 0.0, 0.1)
    run = rbt.backtest(sample, weights, rebalance="on_change", costs=rbt.Costs(turnover_bps=5))
    late = run.since(3000)
    assert late["n_fills"] == run.orders[3000:].sum() == 1, "FB is listed on bar 3066"
    assert late["turnover"] == pytest.approx(0.1 / 270 * 252)
    series = (run.traded, run.exposure, run.orders, run.round_trips)
    assert late == figures_of(run.returns[3000:], 252.0, *(values[3000:] for values in series))
    assert run.since(0) == run.metrics()
