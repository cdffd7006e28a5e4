"""What happens to trials whose results lack a metric that the study needs."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from rbt_ray import metric_columns
from rbt_ray.block_sums import BlockRows
from rbt_ray.columns import Outcomes
from rbt_ray.metric_columns import Column
from rbt_ray.simulate.metrics import METRICS
from rbt_ray.types import COMPLETED, FAILED, FloatArray, IntArray

_RATIOS = frozenset(metric.name for metric in METRICS if metric.unit == "ratio")


def finite_only(
    metrics: Mapping[str, Column],
    errors: Mapping[int, str],
    durations: FloatArray,
    metric: str,
    sums: BlockRows | None = None,
) -> Outcomes:
    """Returns outcomes in which trials without a finite study metric have failed, and failed trials have only an error."""
    status = np.full(len(durations), COMPLETED, np.uint8)
    status[list(errors)] = FAILED
    return only_finite(Outcomes(status, metrics, errors, durations, block_sums=sums), metric)


def only_finite(outcomes: Outcomes, metric: str) -> Outcomes:
    """Like `finite_only`, for outcomes and one of the study's metrics."""
    metrics, completed = outcomes.metrics, outcomes.status == COMPLETED
    column = metrics.get(metric)
    numbers = np.full(len(outcomes), np.nan) if column is None else column.numbers()
    lacking = np.flatnonzero(~np.isfinite(numbers) & completed)
    return fail_without(outcomes, lacking, metric, "the study's metric")


def fail_without(outcomes: Outcomes, lacking: IntArray, metric: str, role: str) -> Outcomes:
    """Returns outcomes in which these trials have failed for lack of a metric, and failed trials have no metrics."""
    metrics, status = outcomes.metrics, outcomes.status.copy()
    if not status.any() and not len(lacking):
        return outcomes
    status[lacking] = FAILED
    reasons = {int(row): _why_lacking(metrics, int(row), metric, role) for row in lacking}
    kept = {name: c.only(status == COMPLETED) for name, c in metrics.items()}
    kept = {name: c for name, c in kept.items() if c.present.any()}
    shares = {row: share for row, share in outcomes.shares.items() if status[row] == COMPLETED}
    sums = None if outcomes.block_sums is None else outcomes.block_sums.only(status == COMPLETED)
    return Outcomes(
        status, kept, {**outcomes.errors, **reasons}, outcomes.duration_s, outcomes.checkpoints, shares, block_sums=sums
    )


def _why_lacking(metrics: Mapping[str, Column], row: int, metric: str, role: str) -> str:
    found = metric_columns.row(metrics, row)
    if metric not in found:
        names = ", ".join(found) or "nothing"
        return f"the objective returned no {metric!r}, {role}; it returned {names}."
    value = found[metric]
    if isinstance(value, float) and math.isnan(value):
        why = " (ratios are NaN if the strategy never trades)" if metric in _RATIOS else ""
        return f"the metric {metric!r} is nan{why}."
    return f"the metric {metric!r} is {value!r}, not a finite number."
