"""The results of a study of several metrics: its Pareto front, the best by one of them, and the hypervolume."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rbt_ray.errors import NoResultError, SettingError
from rbt_ray.nearest import nearest
from rbt_ray.pareto import by_evaluations
from rbt_ray.store.table import TrialTable
from rbt_ray.study.study import Study
from rbt_ray.types import FloatArray


def require_metric(study: Study, metric: str | None, mode: str | None) -> None:
    """Checks that `get_best_result` of a study of several metrics has one to compare by.

    Raises:
        SettingError: it has none, or no direction of it.
    """
    names = [goal.metric for goal in study.goals]
    if metric is None:
        raise SettingError(
            f"the study {study.name!r} optimizes {len(names)} metrics, so no trial is the best: `pareto_front()` returns those that "
            f"no other one dominates, and `get_best_result(metric={names[0]!r})` the best by one metric."
        )
    if mode is None and metric not in names:
        raise SettingError(
            f"{metric!r} is none of the metrics that the study optimizes ({', '.join(names)}): pass `mode` too, 'max' or 'min'."
        )


def hypervolume_of(table: TrialTable, reference: Mapping[str, float] | None) -> FloatArray:
    """Returns ``(n_trials,)`` the hypervolume of the trials up to each one; see `ResultGrid.hypervolume`."""
    study = table.study
    if not study.further_goals:
        raise SettingError(f"the study {study.name!r} optimizes one metric, so it has no hypervolume.")
    losses = np.where(table.is_eligible[:, None], table.losses, np.nan)
    if reference is None:
        if not table.is_eligible.any():
            raise NoResultError("no feasible trial completed at full fidelity, so there is no hypervolume.")
        return by_evaluations(losses, np.nanmax(losses, axis=0))
    names = [goal.metric for goal in study.goals]
    if unknown := [name for name in reference if name not in names]:
        raise SettingError(f"`reference` has no value for {unknown[0]!r}; {nearest(str(unknown[0]), names)}")
    if missing := [name for name in names if name not in reference]:
        raise SettingError(f"`reference` has a value for each of the study's metrics; it lacks {missing[0]!r}.")
    signs = [-1.0 if goal.mode == "max" else 1.0 for goal in study.goals]
    point = np.array([sign * float(reference[name]) for sign, name in zip(signs, names, strict=True)])
    if not np.isfinite(point).all():
        raise SettingError(f"`reference` has finite numbers; got {dict(reference)!r}.")
    return by_evaluations(losses, point)
