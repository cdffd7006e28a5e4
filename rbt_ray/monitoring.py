"""The metrics of a running study that Prometheus can collect: one table, from which exporters, docs and dashboard are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

BATCH_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
"""The upper limits of the histogram's buckets, in seconds; a further bucket has no limit."""


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """A row of the table, in Prometheus' terms.

    Args:
        name: of the family; a histogram's samples have suffixes.
        kind: "counter", "gauge" or "histogram".
        unit: of the values.
        labels: the names of the labels.
        help: what the values are, as one sentence.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: Literal["trials", "workers", "ratio", "seconds", "metric"]
    labels: tuple[str, ...]
    help: str

    @property
    def sample_labels(self) -> Mapping[str, tuple[str, ...]]:
        """The names of the family's samples, each with its labels."""
        if self.kind != "histogram":
            return {self.name: self.labels}
        return {
            f"{self.name}_bucket": (*self.labels, "le"),
            f"{self.name}_sum": self.labels,
            f"{self.name}_count": self.labels,
        }


class Sample(NamedTuple):
    """A value of a family at one moment."""

    name: str
    labels: Mapping[str, str]
    value: float


FAMILIES = (
    MetricFamily(
        "rbt_ray_trials_total",
        "counter",
        "trials",
        ("study", "status"),
        "Recorded trials by status, including those of earlier runs.",
    ),
    MetricFamily(
        "rbt_ray_planned_trials",
        "gauge",
        "trials",
        ("study",),
        "Trials that the study will have; absent if a scheduler decides it.",
    ),
    MetricFamily(
        "rbt_ray_workers",
        "gauge",
        "workers",
        ("study",),
        "Workers, including those that are starting or wait for a node.",
    ),
    MetricFamily(
        "rbt_ray_busy_ratio",
        "gauge",
        "ratio",
        ("study",),
        "Share of the workers' time in this run that recorded batches took.",
    ),
    MetricFamily(
        "rbt_ray_batch_seconds",
        "histogram",
        "seconds",
        ("study",),
        "Durations of this run's batches of trials, as measured by the workers.",
    ),
    MetricFamily(
        "rbt_ray_journal_lag_seconds",
        "gauge",
        "seconds",
        ("study",),
        "Upper bound of the age of the oldest event that a power cut would lose; 0 if the disk has all.",
    ),
    MetricFamily(
        "rbt_ray_best_value",
        "gauge",
        "metric",
        ("study", "metric"),
        "Best value of each optimized metric, of feasible trials at full fidelity; absent before the first.",
    ),
)
