"""A study of rbt_ray's, run for RustyBT's names: begun, or gone on with where one of that name was begun before."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from rbt_ray.compat.rustybt.result import OptimizationResult
from rbt_ray.compat.rustybt.scoring import Scored
from rbt_ray.data.bundle import Bundle
from rbt_ray.errors import StudyExistsError
from rbt_ray.study.space import Space
from rbt_ray.tuner import pools
from rbt_ray.tuner.config import RunConfig, TuneConfig
from rbt_ray.tuner.result_grid import ResultGrid
from rbt_ray.tuner.tuner import Tuner
from rbt_ray.types import Result


@dataclass(frozen=True)
class Wanted:
    """What a study is about.

    Args:
        objective: scores parameters.
        space: what they are taken from.
        bundle: shared with all workers; None where the objective brings its own or needs none.
        search: settings of `TuneConfig` beside metric and mode; `search_alg` may be a function that makes a fresh one.
    """

    objective: Scored
    space: Space
    bundle: Bundle | str | None
    search: dict[str, Any]


def run_study(wanted: Wanted, run_config: RunConfig, *, keep_workers: bool) -> ResultGrid:
    """Runs it to its end.

    Args:
        wanted: what it is about.
        run_config: how it is run; without a name it gets one of its own, and is always new.
        keep_workers: for the next study in this process, to find them warm.

    Raises:
        RbtError: as `rbt.Tuner`.
    """
    objective, search = wanted.objective, dict(wanted.search)
    make: Callable[[], Any] | None = search["search_alg"] if callable(search.get("search_alg")) else None
    search |= {} if make is None else {"search_alg": make()}
    tune_config = TuneConfig(metric=objective.metric, mode="max" if objective.maximizes else "min", **search)
    try:
        tuner = Tuner(
            objective,
            param_space=wanted.space,
            bundle=wanted.bundle,
            tune_config=tune_config,
            run_config=run_config,
        )
    except StudyExistsError:
        assert run_config.name is not None
        path = Path(run_config.storage_path or "studies") / run_config.name
        searcher = None if make is None else search["search_alg"]
        tuner = Tuner.restore(path, objective, param_space=wanted.space, search_alg=searcher, run_config=run_config)
    try:
        return tuner.fit()
    finally:
        if not keep_workers:
            pools.close_idle(run_config)


def results_of(grid: ResultGrid) -> list[OptimizationResult]:
    """The trials in order."""
    return [_result(result, grid.study.metric) for result in grid]


def _result(result: Result, metric: str) -> OptimizationResult:
    score = Decimal("-Infinity") if result.loss is None or math.isinf(result.loss) else Decimal(str(-result.loss))
    return OptimizationResult(
        trial_id=result.trial_id,
        params=dict(result.config),
        score=score,
        backtest_metrics=dict(result.metrics),
        error=result.error or (None if score.is_finite() else f"there is no finite {metric}."),
        duration_seconds=Decimal(str(result.duration_s)),
        fidelity=result.fidelity,
        worker=result.worker,
    )
