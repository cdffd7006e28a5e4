"""OptimizationConfig, its thresholds and environment, ObjectiveFunction and OptimizationResult."""

import json
from decimal import Decimal

import numpy as np
import pytest
from scipy import stats

import rbt_ray as rbt
from rbt_ray.compat.rustybt import ObjectiveFunction, OptimizationConfig, OptimizationResult, PerformanceThreshold
from rbt_ray.compat.rustybt.config import ACCEPTED
from rbt_ray.errors import ObjectiveResultError, SettingError

MAKERS = (OptimizationConfig.create_default, OptimizationConfig.create_strict, OptimizationConfig.create_lenient)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    import os

    for name in list(os.environ):
        if name.startswith("RUSTYBT_"):
            monkeypatch.delenv(name)


def test_defaults_follow_what_was_accepted():
    for make in (OptimizationConfig, *MAKERS):
        assert {name: getattr(make(), name) for name in ACCEPTED} == ACCEPTED


def test_each_kind_of_config_has_its_thresholds():
    expected = {
        MAKERS[0]: ("grid_search", "production", "5.0", "0.95", 10, "2.0"),
        MAKERS[1]: ("single_backtest", "large", "10.0", "0.99", 20, "1.0"),
        MAKERS[2]: ("walk_forward", "small", "2.0", "0.90", 10, "10.0"),
    }
    for make, (workflow, size, gain, confidence, runs, memory) in expected.items():
        threshold = make().get_threshold(workflow, size)
        assert threshold == PerformanceThreshold(
            Decimal(gain), workflow, size, Decimal(confidence), runs, Decimal(memory)
        )
    with pytest.raises(KeyError, match="no threshold"):
        OptimizationConfig.create_default().get_threshold("grid_search", "large")
    config = OptimizationConfig.create_default()
    config.set_threshold(PerformanceThreshold(Decimal(7), "grid_search", "large"))
    assert config.get_threshold("grid_search", "large").min_improvement_percent == 7
    assert config.get_all_thresholds() is not config.thresholds
    assert len(OptimizationConfig.create_strict().get_all_thresholds()) == 12


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("RUSTYBT_ENABLE_PERSISTENT_POOL", "enable_persistent_worker_pool"),
        ("RUSTYBT_ENABLE_SHARED_BUNDLE", "enable_shared_bundle_context"),
        ("RUSTYBT_ENABLE_BOHB", "enable_bohb_optimizer"),
        ("RUSTYBT_ENABLE_RAY", "enable_ray_scheduler"),
        ("RUSTYBT_ENABLE_BUNDLE_POOLING", "enable_bundle_pooling"),
        ("RUSTYBT_DEBUG_OPTIMIZATION", "enable_debug_logging"),
    ],
)
def test_the_environment_overrides_flags(monkeypatch, make, variable, name):
    for text, value in (("true", True), ("FALSE", False), ("1", True), ("off", False)):
        monkeypatch.setenv(variable, text)
        assert getattr(make(), name) is value
    monkeypatch.setenv(variable, "perhaps")
    with pytest.raises(SettingError, match=variable):
        make()


def test_the_environment_overrides_numbers_and_folders(monkeypatch):
    monkeypatch.setenv("RUSTYBT_MAX_BUNDLE_POOL_SIZE", "3")
    monkeypatch.setenv("RUSTYBT_BENCHMARK_DIR", "elsewhere")
    config = OptimizationConfig.create_strict()
    assert (config.max_bundle_pool_size, config.benchmark_output_dir) == (3, "elsewhere")
    for wrong in ("0", "three"):
        monkeypatch.setenv("RUSTYBT_MAX_BUNDLE_POOL_SIZE", wrong)
        with pytest.raises(SettingError, match="whole number"):
            OptimizationConfig.create_default()


def test_settings_are_validated_on_every_assignment():
    config = OptimizationConfig.create_default()
    with pytest.raises(SettingError, match="True or False"):
        config.enable_ray_scheduler = "yes"
    with pytest.raises(SettingError, match="above 0"):
        config.max_bundle_pool_size = 0
    with pytest.raises(AttributeError, match="enable_ray_scheduler"):
        config.enable_ray_schedular = True
    with pytest.raises(AttributeError, match="workers keep what"):
        config.enable_history_cache = False
    with pytest.raises(TypeError, match="cache_size_gb"):
        OptimizationConfig(cache_size_gb=Decimal(2))


def test_an_optimization_is_accepted_by_its_gain_its_significance_and_its_memory():
    threshold = OptimizationConfig.create_default().get_threshold("grid_search")
    rng = np.random.default_rng(0)
    slow, fast = rng.normal(10, 0.1, 10), rng.normal(9, 0.1, 10)
    assert threshold.is_met(slow, fast, memory_increase_percent=1.0)
    assert not threshold.is_met(slow, fast, memory_increase_percent=3.0)
    assert not threshold.is_met(fast, slow, memory_increase_percent=0.0)
    assert not threshold.is_met(slow, rng.normal(9.8, 0.1, 10), memory_increase_percent=0.0)  # significant, but 2 %
    noisy = rng.normal(10, 8, 10), rng.normal(9, 8, 10)  # 10 %, but it may be an accident
    assert stats.ttest_ind(*noisy, equal_var=False).pvalue > 0.05
    assert not threshold.is_met(*noisy, memory_increase_percent=0.0)
    assert threshold.significance_level == pytest.approx(0.05)
    with pytest.raises(SettingError, match="10 runs"):
        threshold.is_met(slow[:9], fast, memory_increase_percent=0.0)
    for wrong in ({"workflow_type": "sweep"}, {"statistical_confidence": Decimal(1)}, {"min_sample_size": 1}):
        with pytest.raises(SettingError):
            PerformanceThreshold(
                **{
                    "min_improvement_percent": Decimal(5),
                    "workflow_type": "grid_search",
                    "dataset_size_category": "small",
                }
                | wrong
            )


def test_evaluations_stop_at_the_goal_or_after_two_rejections_in_a_row():
    config = OptimizationConfig.create_default()  # the goal is 40 %
    assert not config.should_stop([])
    assert not config.should_stop([Decimal(20), Decimal(20)])  # 36 % together
    assert config.should_stop([Decimal(20), None, Decimal(25)])
    assert not config.should_stop([None, Decimal(5), None])
    assert config.should_stop([Decimal(5), None, None])
    assert not config.should_stop([None, None, Decimal(5)])  # in the order of evaluation
    config.stop_on_diminishing_returns = False
    assert not config.should_stop([Decimal(5), None, None])
    config.sequential_evaluation_goal_percent = Decimal(5)
    assert config.should_stop([Decimal(5)])


def test_an_objective_function_finds_its_metric_at_any_place():
    sharpe = ObjectiveFunction("sharpe_ratio")
    view = rbt.load_bundle("sample").view()
    backtest = rbt.backtest(view, np.full((view.n_bars, view.n_symbols), 0.2), missing="zero")
    assert float(sharpe.evaluate(backtest)) == backtest.metrics()["sharpe"]
    for answer in (
        {"performance_metrics": {"sharpe_ratio": "1.25"}},
        {"sharpe_ratio": 1.25},
        {"sharpe": np.float64(1.25)},
        Decimal("1.25"),
        1.25,
    ):
        assert sharpe.evaluate(answer) == Decimal("1.25")
    assert ObjectiveFunction("max_drawdown", higher_is_better=False).evaluate({"max_drawdown": 0.3}) == Decimal("-0.3")
    assert ObjectiveFunction("custom", len).evaluate([1, 2]) == 2
    with pytest.raises(KeyError, match="sortino_ratio"):
        ObjectiveFunction("sortino_ratio").evaluate({"sharpe": 1.0})
    with pytest.raises(ObjectiveResultError):
        sharpe.evaluate({"performance_metrics": {"sharpe_ratio": "high"}})
    with pytest.raises(ObjectiveResultError):
        sharpe.evaluate(object())
    for wrong in (("sharpe", None), ("custom", None), ("sharpe_ratio", len)):
        with pytest.raises(SettingError):
            ObjectiveFunction(*wrong)


def test_a_result_is_the_same_after_json():
    result = OptimizationResult(3, {"fast": 10}, Decimal("0.1"), {"sharpe": 1.5}, None, Decimal("0.25"), 0.5, "local-1")
    assert OptimizationResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result
    assert result.is_success
    assert not OptimizationResult(0, {}, Decimal("-Infinity"), error="no").is_success
