"""Optimizer evaluates what a search algorithm suggests; BOHBOptimizer searches over budgets with BOHB."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from rbt_ray.compat.rustybt.config import OptimizationConfig
from rbt_ray.compat.rustybt.objective import SCORE, ObjectiveFunction, ScoredObjective
from rbt_ray.compat.rustybt.parallel_optimizer import ParallelOptimizer
from rbt_ray.compat.rustybt.parameter_space import to_space
from rbt_ray.compat.rustybt.run_study import OptimizationHistory, OptimizationResult, results_of, run_study
from rbt_ray.compat.rustybt.search_algorithms import require_count, resolve_seed
from rbt_ray.data.bundle import Bundle
from rbt_ray.errors import SettingError
from rbt_ray.pool.local.pool import usable_cpus
from rbt_ray.tuner import pools
from rbt_ray.tuner.config import RunConfig
from rbt_ray.tuner.result_grid import ResultGrid

_MOST_TICKS = 10**6


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
            if not config.uses_rbt_ray:
                raise SettingError(
                    "`checkpoint_dir` needs one of the flags of `config`: a standard multiprocessing.Pool records nothing."
                )
            folder = Path(checkpoint_dir).absolute()
            config, name = replace(config, benchmark_output_dir=str(folder.parent)), folder.name
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


@dataclass(frozen=True)
class Budgeted:
    """Converts an objective of (params, budget) to one of (params, data): the budget is the share of ticks it gets.

    Args:
        run: the user's objective.
        max_budget: the budget of all ticks.
        n_ticks: the number of ticks.
    """

    run: Callable[[dict[str, Any], float], Any]
    max_budget: float
    n_ticks: int

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        """The user's objective, whose source identifies the study's objective."""
        return self.run

    def __call__(self, params: dict[str, Any], data: Any) -> Any:
        """Returns the score."""
        return self.run(params, round(self.max_budget * data.n_bars / self.n_ticks, 9))


class BOHBOptimizer(OptimizationHistory):
    """Evaluates many params on small budgets, and the better ones on larger ones, up to `max_budget`.

    The budget of a trial in `get_results` is its `fidelity` times `max_budget`. It needs no name server: a run is a study of
    `rbt.Tuner` with `search_alg="bohb"`.

    Args:
        parameter_space: a `ParameterSpace`, RustyBT's own, or any `param_space` of `rbt.Tuner`.
        min_budget: the smallest budget, above 0.
        max_budget: the largest budget, at least `min_budget`; only results on it count for the best.
        eta: factor between the budgets of neighbouring rungs, above 1.
        n_trials: how many params to try, most of them on small budgets only.
        n_jobs: number of workers; -1: one per core.
        seed: seed of all random draws; None: a random seed.
        storage_path: the folder of studies.
        verbose: whether to show progress on stderr.

    Raises:
        SettingError: an argument has an invalid value.
    """

    def __init__(
        self,
        parameter_space: Any,
        min_budget: float = 1,
        max_budget: float = 27,
        eta: float = 3,
        n_trials: int = 100,
        n_jobs: int = -1,
        seed: int | None = None,
        storage_path: str = "benchmark-results",
        verbose: bool = False,
    ) -> None:
        if not 0 < min_budget <= max_budget < math.inf:
            raise SettingError(
                f"`min_budget` must be above 0 and at most `max_budget`; got min_budget={min_budget!r}, max_budget={max_budget!r}."
            )
        if not 1 < eta < math.inf:
            raise SettingError(f"`eta` must be a number above 1; got {eta!r}.")
        self.parameter_space = parameter_space
        self.space = to_space(parameter_space)
        self.min_budget, self.max_budget, self.eta = min_budget, max_budget, eta
        self.n_trials = require_count("n_trials", n_trials)
        self.n_jobs = usable_cpus() if n_jobs == -1 else require_count("n_jobs", n_jobs)
        self._seed = resolve_seed(seed)
        self._run_config = RunConfig(
            num_workers=self.n_jobs, storage_path=storage_path, backend="local", verbose=int(verbose)
        )
        self._history: list[OptimizationResult] = []
        self.results: ResultGrid | None = None

    def run(self, objective_function: Callable[[dict[str, Any], float], Any]) -> OptimizationResult:
        """Runs the search and returns the best trial on `max_budget`.

        Args:
            objective_function: returns the score of params on a budget; higher is better.

        Raises:
            NoResultError: every trial on `max_budget` failed.
        """
        if not callable(objective_function):
            raise SettingError(
                f"`objective_function` must be a function of (params, budget); got {objective_function!r}."
            )
        ticks = self._ticks()
        objective = ScoredObjective(Budgeted(objective_function, float(self.max_budget), ticks.n_bars), takes_data=True)
        search = {
            "search_alg": "bohb",
            "num_samples": self.n_trials,
            "eta": self.eta,
            "min_fidelity": self.min_budget / self.max_budget,
            "seed": self._seed,
        }
        self.results = run_study(objective, self.space, ticks, search, self._run_config, keep_workers=True)
        self._history = results_of(self.results)
        return self.get_best()

    def suggest(self) -> NoReturn:
        """Not supported: the next params depend on the budget.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "BOHB chooses params and budgets together: use `run(objective)` instead of `suggest()`."
        )

    def update(self, params: dict[str, Any], score: Decimal) -> NoReturn:
        """Not supported; see `suggest`.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("BOHB learns from results on budgets: use `run(objective)` instead of `update()`.")

    def cleanup(self) -> None:
        """Stops the workers that are kept for the next run."""
        pools.close_idle(self._run_config)

    def _no_result(self) -> str:
        return f"no trial of {len(self._history)} has a {SCORE} on the budget {self.max_budget:g}."

    def _ticks(self) -> Bundle:
        """Returns dummy bars; every budget is a whole number of them if `eta` is a whole number."""
        n_rungs = math.floor(math.log(self.max_budget / self.min_budget) / math.log(self.eta) + 1e-9)
        n = min(self.eta**n_rungs, _MOST_TICKS)
        n_ticks = round(n) if float(n).is_integer() and n > 1 else _MOST_TICKS // 100
        minutes = np.arange(n_ticks).astype("datetime64[m]")
        return Bundle.from_arrays({"close": np.ones((n_ticks, 1))}, minutes, ["tick"], periods_per_year=525_600)
