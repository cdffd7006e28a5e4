"""Exports metrics by Ray, which serves them at the metrics port of the driver's node with the prefix ``ray_``."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from ray.util.metrics import Gauge

from rbt_ray.monitoring import MetricFamily, Sample


def export(read: Iterable[tuple[MetricFamily, list[Sample]]]) -> None:
    """Sets Ray's metrics to these samples.

    Each sample is a gauge of Ray, which queries use like any other series. Ray's counters and histograms take increments and
    single observations: they would need a call for every batch, and could not begin with the trials of earlier runs.

    Args:
        read: families with their current samples.
    """
    for family, samples in read:
        gauges = _gauges(family)
        for sample in samples:
            gauges[sample.name].set(sample.value, dict(sample.labels))


@functools.cache
def _gauges(family: MetricFamily) -> dict[str, Gauge]:
    """Returns the gauges of a family's samples by name; a process creates each once."""
    return {name: Gauge(name, family.help, labels) for name, labels in family.sample_labels.items()}
