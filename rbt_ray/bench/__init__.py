"""Paired measurements in fresh processes, accepted or rejected by thresholds that are fixed in advance."""

from rbt_ray.bench.comparison import Comparison, Thresholds, compare
from rbt_ray.bench.measurement import Sample, fresh
from rbt_ray.bench.pairs import Pairs, paired
from rbt_ray.bench.sequence import SequentialResult, Step, sequential
from rbt_ray.bench.significance import cliffs_delta, median_with_interval, ratio_with_interval

__all__ = [
    "Comparison",
    "Pairs",
    "Sample",
    "SequentialResult",
    "Step",
    "Thresholds",
    "cliffs_delta",
    "compare",
    "fresh",
    "median_with_interval",
    "paired",
    "ratio_with_interval",
    "sequential",
]
