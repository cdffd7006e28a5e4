"""Runs a study of rbt_ray and returns its trials as `OptimizationResult`s."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from rbt_ray.compat.rustybt.objective import ScoredObjective
from rbt_ray.data.bundle import Bundle
from rbt_ray.errors import NoResultError, StudyExistsError
from rbt_ray.study.space import Space
from rbt_ray.tuner import pools
from rbt_ray.tuner.config import RunConfig, TuneConfig
from rbt_ray.tuner.result_grid import ResultGrid
from rbt_ray.tuner.tuner import Tuner
from rbt_ray.types import Result


@dataclass(frozen=True)
class OptimizationResult:
    """Result of a trial.

    Args:
        trial_id: its number, from 0.
        params: the params.
        score: the score, higher is better; -Infinity if the trial failed.
        backtest_metrics: the other metrics that the objective returned.
        error: why the trial failed, or None.
        duration_seconds: the trial's duration.
        fidelity: the share of the bundle's bars that the trial used.
        worker: the worker that ran it.
    """

    trial_id: int
    params: dict[str, Any]
    score: Decimal
    backtest_metrics: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    duration_seconds: Decimal = Decimal(0)
    fidelity: float = 1.0
    worker: str = ""

    @property
    def is_success(self) -> bool:
        """Whether the trial succeeded."""
        return self.error is None

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields, with decimals as strings, so that JSON holds them exactly."""
        return {**asdict(self), "score": str(self.score), "duration_seconds": str(self.duration_seconds)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> OptimizationResult:
        """Creates a result from the output of `to_dict`."""
        numbers = {name: Decimal(data[name]) for name in ("score", "duration_seconds")}
        return cls(**{**data, **numbers})


class OptimizationHistory(ABC):
    """The trials of an optimizer's last run."""

    _history: list[OptimizationResult]

    def get_best(self) -> OptimizationResult:
        """Returns the best trial at full fidelity; the first if several are equal.

        Raises:
            NoResultError: there is none.
        """
        whole = [one for one in self._history if one.is_success and one.fidelity == 1]
        if not whole:
            raise NoResultError(self._no_result())
        return max(whole, key=lambda one: one.score)

    def get_best_params(self) -> dict[str, Any]:
        """Returns the params of the best trial."""
        return self.get_best().params

    def get_results(self) -> list[OptimizationResult]:
        """Returns all trials in order, including failed ones."""
        return list(self._history)

    @abstractmethod
    def _no_result(self) -> str:
        """Returns the message of `get_best`'s NoResultError."""


def run_study(
    objective: ScoredObjective,
    space: Space,
    bundle: Bundle | str | None,
    search: dict[str, Any],
    run_config: RunConfig,
    *,
    keep_workers: bool,
) -> ResultGrid:
    """Runs a study, or resumes the study of the same name.

    Args:
        objective: scores params.
        space: the space to search.
        bundle: the bundle, shared with all workers; None: the objective has its own data or needs none.
        search: settings of `TuneConfig` except metric and mode; `search_alg` may be a function that creates a new searcher.
        run_config: how to run it; without a name, the study is always new.
        keep_workers: whether to keep the workers warm for the next study in this process.

    Raises:
        RbtError: as `rbt.Tuner`.
    """
    make: Callable[[], Any] | None = search["search_alg"] if callable(search.get("search_alg")) else None
    search = search if make is None else {**search, "search_alg": make()}
    tune_config = TuneConfig(metric=objective.metric, mode="max" if objective.maximizes else "min", **search)
    try:
        tuner = Tuner(
            objective,
            param_space=space,
            bundle=bundle,
            tune_config=tune_config,
            run_config=run_config,
        )
    except StudyExistsError:
        assert run_config.name is not None
        path = Path(run_config.storage_path or "studies") / run_config.name
        searcher = None if make is None else search["search_alg"]
        tuner = Tuner.restore(path, objective, param_space=space, search_alg=searcher, run_config=run_config)
    try:
        return tuner.fit()
    finally:
        if not keep_workers:
            pools.close_idle(run_config)


def results_of(grid: ResultGrid) -> list[OptimizationResult]:
    """Returns the trials in order."""
    return [_result(result, grid.study.metric) for result in grid]


def _result(result: Result, metric: str) -> OptimizationResult:
    score = Decimal("-Infinity") if result.loss is None or math.isinf(result.loss) else Decimal(str(-result.loss))
    return OptimizationResult(
        trial_id=result.trial_id,
        params=dict(result.config),
        score=score,
        backtest_metrics=dict(result.metrics),
        error=result.error or (None if score.is_finite() else f"{metric} is not finite."),
        duration_seconds=Decimal(str(result.duration_s)),
        fidelity=result.fidelity,
        worker=result.worker,
    )
