"""OptimizationConfig and PerformanceThreshold: optional features of an optimization, and when to accept one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any

import numpy as np

from rbt_ray.errors import SettingError
from rbt_ray.nearest import nearest

WORKFLOWS = ("grid_search", "walk_forward", "single_backtest")
SIZES = ("small", "medium", "large", "production")


@dataclass(frozen=True)
class PerformanceThreshold:
    """The thresholds that an optimization of a workflow must reach to be accepted.

    Args:
        min_improvement_percent: by how much the mean time must fall.
        workflow_type: one of `WORKFLOWS`.
        dataset_size_category: one of `SIZES`.
        statistical_confidence: confidence of the test that the times differ, above 0 and below 1.
        min_sample_size: number of runs of each kind, at least 2.
        max_memory_increase_percent: limit of the increase in memory.

    Raises:
        SettingError: an argument has an invalid value.
    """

    min_improvement_percent: Decimal
    workflow_type: str
    dataset_size_category: str
    statistical_confidence: Decimal = Decimal("0.95")
    min_sample_size: int = 10
    max_memory_increase_percent: Decimal = Decimal("2.0")

    def __post_init__(self) -> None:
        for name, known in (("workflow_type", WORKFLOWS), ("dataset_size_category", SIZES)):
            if getattr(self, name) not in known:
                raise SettingError(f"`{name}` must be one of {', '.join(known)}; got {getattr(self, name)!r}.")
        if not 0 < self.statistical_confidence < 1:
            raise SettingError(
                f"`statistical_confidence` must be above 0 and below 1; got {self.statistical_confidence}."
            )
        if self.min_sample_size < 2:
            raise SettingError(f"`min_sample_size` must be at least 2; got {self.min_sample_size}.")

    @property
    def significance_level(self) -> float:
        """The accepted probability of a false positive."""
        return float(1 - self.statistical_confidence)

    def is_met(self, baseline: Sequence[float], optimized: Sequence[float], memory_increase_percent: float) -> bool:
        """Returns whether an optimization is accepted.

        Args:
            baseline: seconds of runs without the optimization.
            optimized: seconds of runs with it; the test is for two independent samples.
            memory_increase_percent: the measured increase in memory.

        Raises:
            SettingError: there are fewer runs than `min_sample_size`.

        Source:
            Welch (1947), "The generalization of 'Student's' problem when several different population variances are
            involved", Biometrika 34, 28-35.
        """
        from scipy import stats

        if min(len(baseline), len(optimized)) < self.min_sample_size:
            raise SettingError(
                f"the threshold needs {self.min_sample_size} runs of each kind; got {len(baseline)} and {len(optimized)}."
            )
        gain = 100 * (1 - float(np.mean(optimized)) / float(np.mean(baseline)))
        p = float(stats.ttest_ind(baseline, optimized, equal_var=False).pvalue)
        return (
            gain >= self.min_improvement_percent
            and p < self.significance_level
            and memory_increase_percent <= self.max_memory_increase_percent
        )


ACCEPTED = {
    "enable_persistent_worker_pool": True,
    "enable_shared_bundle_context": True,
    "enable_bohb_optimizer": False,
    "enable_ray_scheduler": False,
}
"""The default flags: the optimizations that docs/decisions/sequential.md accepts. Ray is accepted on two hosts or more; the
runs of docs/decisions/bohb.md do not decide on BOHB."""

VARIABLES = {
    "enable_persistent_worker_pool": "RUSTYBT_ENABLE_PERSISTENT_POOL",
    "enable_shared_bundle_context": "RUSTYBT_ENABLE_SHARED_BUNDLE",
    "enable_bohb_optimizer": "RUSTYBT_ENABLE_BOHB",
    "enable_ray_scheduler": "RUSTYBT_ENABLE_RAY",
    "enable_bundle_pooling": "RUSTYBT_ENABLE_BUNDLE_POOLING",
    "max_bundle_pool_size": "RUSTYBT_MAX_BUNDLE_POOL_SIZE",
    "enable_debug_logging": "RUSTYBT_DEBUG_OPTIMIZATION",
    "benchmark_output_dir": "RUSTYBT_BENCHMARK_DIR",
}
_ELSEWHERE = dict.fromkeys(
    (
        "cache_size_gb",
        "enable_caching",
        "lru_maxsize",
        "cache_size_limit",
        "tier2_maxsize",
        "permanent_windows",
        "enable_history_cache",
    ),
    "workers keep what an objective derives from the bundle, up to 256 MiB each",
)


@dataclass
class OptimizationConfig:
    """Flags and thresholds; they may be changed until an optimizer is created with them.

    Args:
        thresholds: what an optimization must achieve to be accepted, by workflow and size of the data.
        enable_persistent_worker_pool: keep workers warm for the next run.
        enable_shared_bundle_context: share one copy of the bundle, mapped or in Ray's object store; else each worker opens
            it by name.
        enable_bohb_optimizer: search with BOHB, over shares of the bundle's history if there is one. The bundle is then
            shared whatever `enable_shared_bundle_context` says.
        enable_ray_scheduler: use Ray actors as workers.
        enable_bundle_pooling: keep bundles that are opened by name open, in a `BundleConnectionPool`.
        max_bundle_pool_size: how many bundles stay open.
        enable_debug_logging: print what a run uses to stderr, and show progress.
        benchmark_output_dir: the folder of studies, each in a subfolder.
        sequential_evaluation_goal_percent: the total gain of accepted optimizations that is enough.
        stop_on_diminishing_returns: whether to stop after two rejections in a row.

    Raises:
        SettingError: an argument has an invalid value.
        AttributeError: there is no such setting.
    """

    thresholds: dict[tuple[str, str], PerformanceThreshold] = field(default_factory=dict)
    enable_persistent_worker_pool: bool = ACCEPTED["enable_persistent_worker_pool"]
    enable_shared_bundle_context: bool = ACCEPTED["enable_shared_bundle_context"]
    enable_bohb_optimizer: bool = ACCEPTED["enable_bohb_optimizer"]
    enable_ray_scheduler: bool = ACCEPTED["enable_ray_scheduler"]
    enable_bundle_pooling: bool = True
    max_bundle_pool_size: int = 100
    enable_debug_logging: bool = False
    benchmark_output_dir: str = "benchmark-results"
    sequential_evaluation_goal_percent: Decimal = Decimal("40.0")
    stop_on_diminishing_returns: bool = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _KINDS:
            why = _ELSEWHERE.get(name) or nearest(name, list(_KINDS))
            raise AttributeError(f"OptimizationConfig has no setting {name!r}: {why}.")
        kind = _KINDS[name]
        is_count = isinstance(value, int) and not isinstance(value, bool) and value > 0
        if not isinstance(value, kind) or (kind is int and not is_count):
            wanted = {bool: "True or False", int: "a whole number above 0", str: "a folder"}.get(kind, kind.__name__)
            raise SettingError(f"`{name}` must be {wanted}; got {value!r}.")
        object.__setattr__(self, name, value)

    @classmethod
    def create_default(cls) -> OptimizationConfig:
        """Returns thresholds of 5 % gain at 95 % confidence over 10 runs, and 2 % more memory; `RUSTYBT_*` override flags."""
        standard = {(workflow, "production"): ("5.0", "0.95", 10, "2.0") for workflow in WORKFLOWS}
        medium = {("grid_search", "medium"): ("3.0", "0.95", 10, "5.0")}
        small = {("grid_search", "small"): ("2.0", "0.90", 10, "10.0")}
        return cls._with(standard | medium | small, goal="40.0", stop=True)

    @classmethod
    def create_strict(cls) -> OptimizationConfig:
        """Returns thresholds of 10 % gain at 99 % confidence over 20 runs, and 1 % more memory; `RUSTYBT_*` override flags."""
        every = {(workflow, size): ("10.0", "0.99", 20, "1.0") for workflow in WORKFLOWS for size in SIZES}
        return cls._with(every, goal="50.0", stop=True, max_bundle_pool_size=50)

    @classmethod
    def create_lenient(cls) -> OptimizationConfig:
        """Returns thresholds of 2 % gain at 90 % confidence over 10 runs, and 10 % more memory; `RUSTYBT_*` override flags."""
        every = {(workflow, size): ("2.0", "0.90", 10, "10.0") for workflow in WORKFLOWS for size in SIZES}
        return cls._with(every, goal="20.0", stop=False, max_bundle_pool_size=200, enable_debug_logging=True)

    @classmethod
    def _with(
        cls, thresholds: dict[tuple[str, str], tuple[str, str, int, str]], *, goal: str, stop: bool, **flags: Any
    ) -> OptimizationConfig:
        config = cls(
            sequential_evaluation_goal_percent=Decimal(goal),
            stop_on_diminishing_returns=stop,
            **{**flags, **_from_environment()},
        )
        for (workflow, size), (gain, confidence, runs, memory) in thresholds.items():
            config.set_threshold(
                PerformanceThreshold(Decimal(gain), workflow, size, Decimal(confidence), runs, Decimal(memory))
            )
        return config

    def get_threshold(self, workflow_type: str, dataset_size_category: str = "production") -> PerformanceThreshold:
        """Returns the threshold of a workflow on data of a size.

        Raises:
            KeyError: there is none.
        """
        key = workflow_type, dataset_size_category
        if key not in self.thresholds:
            raise KeyError(f"there is no threshold for {key}; there are some for {sorted(self.thresholds)}.")
        return self.thresholds[key]

    def set_threshold(self, threshold: PerformanceThreshold) -> None:
        """Sets the threshold of its workflow and size."""
        self.thresholds[threshold.workflow_type, threshold.dataset_size_category] = threshold

    def get_all_thresholds(self) -> dict[tuple[str, str], PerformanceThreshold]:
        """Returns a copy of all thresholds."""
        return dict(self.thresholds)

    def should_use_bundle_pool(self) -> bool:
        """Returns whether bundles opened by name stay open."""
        return self.enable_bundle_pooling

    def should_stop(self, gains: Sequence[Decimal | None]) -> bool:
        """Returns whether enough optimizations have been evaluated.

        Args:
            gains: for each evaluated optimization, in order, by what percentage it shortened the remaining time; None if it was
                rejected.
        """
        left = Decimal(1)
        for gain in gains:
            left *= 1 if gain is None else 1 - gain / 100
        reached = 100 * (1 - left) >= self.sequential_evaluation_goal_percent
        return reached or (self.stop_on_diminishing_returns and list(gains[-2:]) == [None, None])

    @property
    def uses_rbt_ray(self) -> bool:
        """Whether any of the four optimizations is on; else a standard `multiprocessing.Pool` does the work."""
        return any(getattr(self, name) for name in ACCEPTED)


_KINDS: dict[str, type] = {
    one.name: {"bool": bool, "int": int, "str": str, "Decimal": Decimal}.get(str(one.type), dict)
    for one in fields(OptimizationConfig)
}


def _from_environment() -> dict[str, Any]:
    read: dict[type, Callable[[str], Any]] = {bool: _flag, int: int, str: str}
    found = {}
    for name, variable in VARIABLES.items():
        text = os.environ.get(variable, "").strip()
        if text:
            try:
                found[name] = read[_KINDS[name]](text)
            except ValueError as error:
                wanted = "true or false" if _KINDS[name] is bool else "a whole number"
                raise SettingError(f"the environment variable {variable} must be {wanted}; got {text!r}.") from error
    return found


def _flag(text: str) -> bool:
    known = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if text.lower() not in known:
        raise ValueError(text)
    return known[text.lower()]
