"""The table of metrics is the one that runs, sweeps and reports use."""

from __future__ import annotations

import numpy as np
import pytest

from rbt_ray.objectives import sma_cross
from rbt_ray.simulate.metric_kernel import metrics_of
from rbt_ray.simulate.metrics import METRIC_NAMES, METRICS, SUMS, from_sums


def test_runs_and_sweeps_have_the_metrics_of_the_table(sample_view):
    strategy = sma_cross()
    run = strategy({"fast": 10, "slow": 50}, sample_view).metrics()
    assert tuple(run) == METRIC_NAMES
    assert all(isinstance(run[metric.name], int) == (metric.unit == "count") for metric in METRICS)
    columns = {"fast": np.array([10.0]), "slow": np.array([50.0])}
    assert tuple(strategy.evaluate(sample_view, columns, METRIC_NAMES)) == METRIC_NAMES


def test_numbers_and_arrays_of_sums_give_the_same_metrics():
    rng = np.random.default_rng(4)
    returns = np.maximum(rng.normal(0, 0.02, (40, 200)), -0.9)
    returns[:, 0], returns[:, 1] = 0.0, np.abs(returns[:, 1])
    equity = np.cumprod(1 + returns, axis=0)
    drawdown = np.minimum(equity / np.maximum(np.maximum.accumulate(equity, axis=0), 1) - 1, 0).min(axis=0)
    deviation = returns - returns.mean(axis=0)
    moments = [(deviation**power).sum(axis=0) for power in (2, 3, 4)]
    downside, none = (np.minimum(returns, 0) ** 2).sum(axis=0), np.zeros(200)
    with np.errstate(divide="ignore", invalid="ignore"):
        many = from_sums(
            equity[-1], drawdown, returns.mean(axis=0), *moments, downside, none, none, none, none, len(returns), 252.0,
            lambda condition, values: np.where(condition, values, np.nan), True,
        )  # fmt: skip
    zeros, counts = np.zeros(40), np.zeros(40, np.int64)
    for column in range(200):
        one = metrics_of(np.ascontiguousarray(returns[:, column]), zeros, zeros, counts, counts, 252.0)
        # Moments cancel: sums in another order differ by some rounding errors of their terms.
        np.testing.assert_allclose([values[column] for values in many], list(one.values()), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_depends_on_the_sums_that_the_table_names_and_on_no_others(metric):
    def value(**sums):
        found = from_sums(*sums.values(), 50, 252.0, lambda condition, values: values if condition else np.nan, True)
        return found[METRIC_NAMES.index(metric.name)]

    rng = np.random.default_rng(1)
    sums = {name: np.float64(-0.3 if name == "drawdown" else value) for name, value in zip(SUMS, rng.uniform(1, 2, 11), strict=True)}  # fmt: skip
    others = {name: np.nan for name in SUMS if name not in metric.sums}
    assert value(**{**sums, **others}) == value(**sums)
    for name in metric.sums:
        assert value(**{**sums, name: np.float64(np.nan)}) != value(**sums)
