"""Optimizer: a search algorithm, a backtest, and the score of its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rbt_ray.compat.rustybt.config import OptimizationConfig
from rbt_ray.compat.rustybt.objective import ObjectiveFunction
from rbt_ray.compat.rustybt.parallel_optimizer import ParallelOptimizer
from rbt_ray.compat.rustybt.run_study import OptimizationResult
from rbt_ray.compat.rustybt.search_algorithms import require_count
from rbt_ray.errors import SettingError


class Optimizer:
    """Evaluates what a search algorithm suggests, one by one unless there are several workers.

    Args:
        parameter_space: the space to search.
        search_algorithm: an object with `suggest`, `update` and `is_complete`.
        objective_function: extracts the score from what `backtest_function` returns.
        backtest_function: runs a backtest with a dict of params.
        max_trials: limit of backtests.
        checkpoint_dir: the folder that records every finished trial. An optimizer with the same folder resumes the search.
            None: a new folder below `config.benchmark_output_dir`.
        n_jobs: number of workers; -1: one per core.
        config: None: `OptimizationConfig.create_default()`.

    Raises:
        SettingError: the arguments do not fit together.
    """

    def __init__(
        self,
        parameter_space: Any,
        search_algorithm: Any,
        objective_function: ObjectiveFunction,
        backtest_function: Callable[[dict[str, Any]], Any],
        max_trials: int,
        checkpoint_dir: Path | str | None = None,
        *,
        n_jobs: int = 1,
        config: OptimizationConfig | None = None,
    ) -> None:
        if not isinstance(objective_function, ObjectiveFunction):
            raise SettingError(f"`objective_function` must be an ObjectiveFunction; got {objective_function!r}.")
        if not callable(backtest_function):
            raise SettingError(f"`backtest_function` must be a function of params; got {backtest_function!r}.")
        config = OptimizationConfig.create_default() if config is None else config
        name = None
        if checkpoint_dir is not None:
            folder = Path(checkpoint_dir).absolute()
            config, name = _with_folder(config, folder), folder.name
        self._backtest, self._function = backtest_function, objective_function
        self._parallel = ParallelOptimizer(
            search_algorithm,
            n_jobs=n_jobs,
            verbose=False,
            param_space=parameter_space,
            config=config,
            max_trials=require_count("max_trials", max_trials),
            name=name,
        )

    def optimize(self) -> OptimizationResult:
        """Runs the search and returns the best trial.

        Raises:
            NoResultError: every trial failed.
        """
        self._parallel.run_scored(self._backtest, self._function)
        return self._parallel.get_best()

    def get_best_params(self) -> dict[str, Any]:
        """Returns the params of the best trial."""
        return self._parallel.get_best_params()

    def get_history(self) -> list[OptimizationResult]:
        """Returns all trials in order, including failed ones."""
        return self._parallel.get_results()


def _with_folder(config: OptimizationConfig, folder: Path) -> OptimizationConfig:
    if not config.uses_rbt_ray:
        raise SettingError(
            "`checkpoint_dir` needs one of the flags of `config`: a standard multiprocessing.Pool records nothing."
        )
    return replace(config, benchmark_output_dir=str(folder.parent))
