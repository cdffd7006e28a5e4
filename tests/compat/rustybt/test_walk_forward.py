"""RustyBT's WalkForwardOptimizer: each window is optimized alone, and tested on the rows after it."""

from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest

from rbt_ray.compat.rustybt import (
    DiscreteParameter,
    GridSearchAlgorithm,
    ObjectiveFunction,
    OptimizationConfig,
    ParameterSpace,
    WalkForwardOptimizer,
    WindowConfig,
)
from rbt_ray.errors import SettingError

SPACE = ParameterSpace(parameters=[DiscreteParameter(name="lag", min_value=1, max_value=4, step=1)])
CHANGES = np.random.default_rng(5).normal(0, 1, 90)


def backtest(params, data):
    """The mean of yesterday's sign, `lag` days back, times today's change."""
    change = np.asarray(data["change"] if hasattr(data, "columns") else data, np.float64)
    lag = params["lag"]
    returns = np.sign(change[:-lag]) * change[lag:]
    return {"performance_metrics": {"sharpe_ratio": float(returns.mean() / returns.std()), "n_rows": len(change)}}


def optimizer(tmp_path, **kw):
    config = OptimizationConfig(benchmark_output_dir=str(tmp_path))
    windows = WindowConfig(train_period=30, validation_period=10, test_period=10, step_size=20, **kw)
    factory = lambda: GridSearchAlgorithm(SPACE)  # noqa: E731
    function = ObjectiveFunction("sharpe_ratio")
    return WalkForwardOptimizer(SPACE, factory, function, backtest, windows, optimization=config)


@pytest.mark.parametrize("kind", ["polars", "pandas", "array"])
@pytest.mark.parametrize("window_type", ["rolling", "expanding"])
def test_each_window_has_the_best_params_of_its_training_rows(tmp_path, kind, window_type):
    make = {"polars": pl.DataFrame, "pandas": pd.DataFrame, "array": lambda columns: columns["change"]}[kind]
    found = optimizer(tmp_path, window_type=window_type).run(make({"change": CHANGES}))
    assert found.num_windows == 3
    for number, window in enumerate(found.window_results):
        stop = 30 + 20 * number
        start = 0 if window_type == "expanding" else stop - 30
        scores = {
            lag: backtest({"lag": lag}, CHANGES[start:stop])["performance_metrics"]["sharpe_ratio"]
            for lag in (1, 2, 3, 4)
        }
        best = max(scores, key=scores.get)
        assert window.best_params == {"lag": best}
        assert float(window.train_metrics["score"]) == pytest.approx(scores[best])
        assert (window.train_start_idx, window.train_end_idx) == (start, stop - 1)
        assert (window.test_start_idx, window.test_end_idx) == (stop + 10, stop + 19)
        expected = backtest({"lag": best}, CHANGES[stop + 10 : stop + 20])["performance_metrics"]
        assert window.test_metrics == {**expected, "score": Decimal(str(expected["sharpe_ratio"]))}
        assert window.validation_metrics["n_rows"] == 10
        assert window.optimization_trials == 4
    scores = [float(window.test_metrics["score"]) for window in found.window_results]
    assert float(found.aggregate_metrics["test"]["score_mean"]) == pytest.approx(np.mean(scores))
    assert float(found.aggregate_metrics["test"]["sharpe_ratio_std"]) == pytest.approx(np.std(scores, ddof=1))
    lags = [window.best_params["lag"] for window in found.window_results]
    stability = found.parameter_stability["lag"]
    assert float(stability["coefficient_of_variation"]) == pytest.approx(np.std(lags, ddof=1) / np.mean(lags))
    assert stability["is_stable"] == (stability["coefficient_of_variation"] < Decimal("0.2"))
    assert list(tmp_path.iterdir())  # each search is a study


def test_data_that_is_too_short_and_lengths_that_make_no_sense_are_refused(tmp_path):
    with pytest.raises(SettingError, match="needs 50 rows"):
        optimizer(tmp_path).run(CHANGES[:49])
    with pytest.raises(SettingError, match="train_period"):
        WindowConfig(0, 1, 1, 1)
    with pytest.raises(SettingError, match="window_type"):
        WindowConfig(1, 1, 1, 1, "sliding")
