"""The rule by which an optimization is accepted: a gain that is large enough, and no accident."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from rbt_ray.errors import SettingError

WORKFLOWS = ("grid_search", "walk_forward", "single_backtest")
SIZES = ("small", "medium", "large", "production")


@dataclass(frozen=True)
class PerformanceThreshold:
    """What an optimization of a workflow has to reach to be accepted.

    Args:
        min_improvement_percent: by how much the mean time has to fall.
        workflow_type: one of `WORKFLOWS`.
        dataset_size_category: one of `SIZES`.
        statistical_confidence: of the test that the times differ, above 0 and below 1.
        min_sample_size: runs of each, at least 2.
        max_memory_increase_percent: how much more memory may be used.

    Raises:
        SettingError: a value is not one of those it may have.
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
                raise SettingError(f"`{name}` is one of {', '.join(known)}; got {getattr(self, name)!r}.")
        if not 0 < self.statistical_confidence < 1:
            raise SettingError(f"`statistical_confidence` is above 0 and below 1; got {self.statistical_confidence}.")
        if self.min_sample_size < 2:
            raise SettingError(f"`min_sample_size` is at least 2; got {self.min_sample_size}.")

    @property
    def significance_level(self) -> float:
        """The probability of an accident that is tolerated."""
        return float(1 - self.statistical_confidence)

    def is_met(self, baseline: Sequence[float], optimized: Sequence[float], memory_increase_percent: float) -> bool:
        """Whether an optimization is accepted.

        Args:
            baseline: seconds of runs without it.
            optimized: seconds of runs with it, other runs: the test is for two independent samples.
            memory_increase_percent: as measured, over both kinds of run.

        Raises:
            SettingError: there are fewer runs than `min_sample_size`.

        Source:
            Welch (1947), "The generalization of 'Student's' problem when several different population variances are
            involved", Biometrika 34, 28-35.
        """
        from scipy import stats

        if min(len(baseline), len(optimized)) < self.min_sample_size:
            raise SettingError(
                f"the threshold asks for {self.min_sample_size} runs of each; got {len(baseline)} and {len(optimized)}."
            )
        gain = 100 * (1 - float(np.mean(optimized)) / float(np.mean(baseline)))
        p = float(stats.ttest_ind(baseline, optimized, equal_var=False).pvalue)
        return (
            gain >= self.min_improvement_percent
            and p < self.significance_level
            and memory_increase_percent <= self.max_memory_increase_percent
        )
