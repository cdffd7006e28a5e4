"""Prior results for a new search: from an earlier study, an hpbandster Result or rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rbt_ray import metric_columns
from rbt_ray.columns import Outcomes
from rbt_ray.errors import SettingError, SpaceError
from rbt_ray.study.space import Space
from rbt_ray.study.study import PriorResult, Study
from rbt_ray.tuner.result_grid import ResultGrid
from rbt_ray.types import Config, Metrics


def prior_results(given: Any, study: Study) -> tuple[PriorResult, ...]:
    """Returns completed results in the form a sampler learns from; skips configs outside the space.

    Trials of a `ResultGrid` are judged by the new study's constraints on metrics. Other rows have no further metrics, and
    count as feasible.

    Args:
        given: a `ResultGrid`; a study's folder; an hpbandster `Result`, whose losses are used as this metric; or rows of
            (config, fidelity, metric).
        study: the new study; results without its metric are skipped.

    Raises:
        SettingError: `given` is something else, or contains no usable result.
    """
    prior = []
    n_finite = 0
    metric, sign = study.metric, -1.0 if study.mode == "max" else 1.0
    for config, fidelity, value, metrics in _rows(given, metric, sign):
        if not np.isfinite(value):
            continue
        n_finite += 1
        try:
            point = study.space.encode([config])
        except SpaceError:
            continue
        broken = None
        if metrics is not None:
            outcomes = Outcomes(np.zeros(1, np.uint8), metric_columns.from_rows([metrics]), {}, np.zeros(1))
            broken = study.violation(point, outcomes, fidelity)
        violation = 0.0 if broken is None else float(broken[0])
        prior.append(PriorResult(tuple(point[0].tolist()), float(fidelity), sign * float(value), violation))
    if not n_finite:
        raise SettingError(
            f"`warm_start` has no result with a finite {metric!r}: no trial completed, or none returned that metric."
        )
    if not prior:
        raise SettingError(
            f"`warm_start` has no result with a {metric!r} whose config lies in this study's space: check that its parameters "
            f"have the same names and domains."
        )
    return tuple(prior)


def best_prior_configs(prior: tuple[PriorResult, ...], space: Space) -> list[Config]:
    """Returns the best config at the highest fidelity, if any; a search that has learned it would not propose it again."""
    if not prior:
        return []
    highest = max(one.fidelity for one in prior)
    best = min((one for one in prior if one.fidelity == highest), key=lambda one: (one.violation, one.loss))
    return space.decode(np.array([best.point]))


def _rows(given: Any, metric: str, sign: float) -> Iterator[tuple[Config, float, float, Metrics | None]]:
    if isinstance(given, (str, Path)):
        given = ResultGrid(given)
    if isinstance(given, ResultGrid):
        for row, result in enumerate(given):
            value = result.metrics.get(metric)
            if isinstance(value, (int, float)) and row not in given.table.outcomes.shares:
                yield result.config, result.fidelity, value, result.metrics
        return
    if type(given).__module__.startswith("hpbandster."):
        from rbt_ray.export.hpbandster_result import runs_of

        yield from ((config, share, sign * loss, None) for config, share, loss in runs_of(given) if loss is not None)
        return
    if not isinstance(given, Iterable):
        raise SettingError(
            f"`warm_start` is a ResultGrid, a study's folder, an hpbandster Result, or rows of (config, fidelity, {metric}); got {given!r}."
        )
    for row in given:
        try:
            config, share, value = row
            config, fidelity, number = dict(config), float(share), float(value)
        except (TypeError, ValueError):
            fidelity = math.nan
        if not 0 < fidelity <= 1:
            raise SettingError(
                f"rows of `warm_start` are (config, fidelity above 0 and at most 1, {metric}); got {row!r}."
            )
        yield config, fidelity, number, None
