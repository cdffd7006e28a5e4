"""The goals of a study: the metrics to optimize, each with its direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rbt_ray.errors import SettingError
from rbt_ray.metric_columns import MetricColumns
from rbt_ray.nearest import nearest
from rbt_ray.types import RESULT_COLUMNS, FloatArray, Mode

_MODES: tuple[Mode, Mode] = ("max", "min")


@dataclass(frozen=True)
class Goal:
    """A metric to optimize.

    Args:
        metric: its name.
        mode: "max" or "min".
    """

    metric: str
    mode: Mode

    def __str__(self) -> str:
        return f"{self.metric} ({self.mode})"


def goals_of(metric: Any, mode: Any) -> tuple[Goal, ...]:
    """Returns the goals that a user's `metric` and `mode` mean: names and modes, or lists of them.

    Raises:
        SettingError: one of them is invalid, or the lists have different lengths.
    """
    metrics = list(metric) if _is_list(metric) else [metric]
    modes = list(mode) if _is_list(mode) else [mode] * len(metrics)
    if not metrics or len(set(map(repr, metrics))) < len(metrics):
        raise SettingError(f"`metric` is the name of a metric, or a list of different names; got {metric!r}.")
    for name in metrics:
        if not isinstance(name, str) or not name:
            raise SettingError(f"`metric` is the name of a metric, or a list of names; got {metric!r}.")
        if name in RESULT_COLUMNS:
            raise SettingError(
                f"`metric` is the name of a metric, not of a column of the results such as 'status'; got {name!r}."
            )
    for one in modes:
        if one not in _MODES:
            raise SettingError(f"`mode` is one of max, min; got {one!r}: {nearest(str(one), _MODES)}")
    if len(modes) != len(metrics):
        raise SettingError(
            f"`mode` is 'max' or 'min' for all metrics, or a list with one for each; got {len(modes)} for {len(metrics)} metrics."
        )
    return tuple(Goal(name, one) for name, one in zip(metrics, modes, strict=True))


def losses_of(goals: Sequence[Goal], metrics: MetricColumns, n: int) -> FloatArray:
    """Returns ``(n, n_goals)`` the losses that searchers minimize; a trial that lacks one of the metrics has NaN in each."""
    losses = np.full((n, len(goals)), np.nan)
    for column, goal in enumerate(goals):
        if (found := metrics.get(goal.metric)) is not None:
            losses[:, column] = found.numbers() * (-1.0 if goal.mode == "max" else 1.0)
    losses[~np.isfinite(losses).all(axis=1)] = np.nan
    return losses


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))
