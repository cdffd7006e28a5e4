"""Values of configs near those of a study, known from its trials or evaluated, and the trial with the best neighbourhood."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from rbt_ray.store.table import TrialTable
from rbt_ray.study.neighbours import distinct, neighbours
from rbt_ray.study.trials import nested_seed
from rbt_ray.types import FloatArray, Mode

RADIUS = 0.05
"""The default share of a domain that counts as near, to each side."""
_LEADERS, _PER_LEADER = 10, 32

Evaluate: TypeAlias = Callable[[FloatArray], TrialTable]
"""Evaluates ``(n, n_params)`` points at full fidelity."""


def values_at(points: FloatArray, table: TrialTable, evaluate: Evaluate, metric: str) -> FloatArray:
    """Returns ``(n,)`` values of a metric at full fidelity.

    A config that is among the study's trials at full fidelity is not evaluated again. NaN where a config failed or is
    infeasible.

    Args:
        points: ``(n, n_params)`` allowed configs.
        table: the trials of the study.
        evaluate: evaluates other points.
        metric: its name.
    """
    space = table.study.space
    known = _known(table, metric)
    digests = space.digests(points).tolist()
    missing = np.array([digest not in known for digest in digests], dtype=bool)
    if missing.any():
        known |= _known(evaluate(distinct(space, points[missing])), metric)
    return np.array([known.get(digest, np.nan) for digest in digests])


def _known(table: TrialTable, metric: str) -> dict[int, float]:
    values = np.where(table.is_feasible, table.numbers(metric), np.nan)
    rows = np.flatnonzero(table.fidelity == 1.0)[::-1]  # the first of equal configs counts
    return dict(zip(table.study.space.digests(table.points[rows]).tolist(), values[rows].tolist(), strict=True))


def most_robust(table: TrialTable, evaluate: Evaluate, metric: str, mode: Mode) -> int:
    """Returns the row of the trial whose neighbourhood is best, among the 10 best configs.

    A neighbourhood is worth the median of the config and of at most 32 neighbours, where one without a value is worse than
    all others. Of equal ones, the config with the better value is taken.

    Args:
        table: the trials of the study, at least one of them in its ranking.
        evaluate: evaluates neighbours that are not among the trials.
        metric: the metric to compare.
        mode: whether higher or lower is better.
    """
    space, sign = table.study.space, 1.0 if mode == "max" else -1.0
    ranking = table.ranking(metric=metric, mode=mode)
    _, first = np.unique(space.digests(table.points[ranking]), return_index=True)
    leaders = ranking[np.sort(first)[:_LEADERS]]
    seed = nested_seed(table.study.seed, "robust", 1)
    near = [neighbours(space, table.points[row], RADIUS, _PER_LEADER, seed) for row in leaders]
    values = values_at(np.concatenate(near), table, evaluate, metric)
    own = sign * table.numbers(metric)[leaders]
    signed = np.split(np.where(np.isnan(values), -np.inf, sign * values), np.cumsum([len(one) for one in near])[:-1])
    medians = [np.quantile([mine, *one], 0.5, method="lower") for mine, one in zip(own, signed, strict=True)]
    return int(leaders[int(np.argmax(medians))])
