"""ParallelOptimizer: RustyBT's main optimizer, for an objective or for an algorithm and a bundle."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from rbt_ray.compat.rustybt.config import OptimizationConfig
from rbt_ray.compat.rustybt.objective import (
    NamedBundle,
    ObjectiveFunction,
    ScoredObjective,
    ScoredObjectiveWithData,
    to_algorithm,
)
from rbt_ray.compat.rustybt.parameter_space import to_space
from rbt_ray.compat.rustybt.run_study import OptimizationHistory, OptimizationResult, results_of, run_study
from rbt_ray.compat.rustybt.search_algorithms import (
    GridSearchAlgorithm,
    RandomSearchAlgorithm,
    require_count,
    require_count_or_none,
    resolve_seed,
)
from rbt_ray.compat.rustybt.standard_pool import run_on_pool
from rbt_ray.compat.rustybt.strategy_searcher import StrategySearcher, max_open_suggestions, require_strategy
from rbt_ray.compat.rustybt.worker_pool import PersistentWorkerPool, get_global_pool
from rbt_ray.errors import SettingError
from rbt_ray.objectives.kind import DataProvider
from rbt_ray.pool.local.pool import usable_cpus
from rbt_ray.tuner import pools
from rbt_ray.tuner.config import RunConfig
from rbt_ray.tuner.result_grid import ResultGrid

_SAMPLES = 100
_MAX_OPEN = 4096
"""Limit of open suggestions that do not depend on results: enough for batches that are worth sending."""


@dataclass
class WorkerStats:
    """Statistics of a worker.

    Args:
        worker_id: the worker's name.
        evaluations_completed: number of trials with a score.
        evaluations_failed: number of trials without a score.
        total_duration_seconds: time spent on both.
    """

    worker_id: str
    evaluations_completed: int = 0
    evaluations_failed: int = 0
    total_duration_seconds: Decimal = Decimal(0)


class ParallelOptimizer(OptimizationHistory):
    """Evaluates parameters in parallel.

    There are two ways to use it. With a search algorithm, `run` evaluates an objective of params:
    ``ParallelOptimizer(GridSearchAlgorithm(space), n_jobs=4).run(objective)``. With an algorithm class, a space and a bundle,
    ``ParallelOptimizer(algorithm_class=..., param_space=..., bundle_name=..., config=...)``, it is `run_optimization`. Without
    a search algorithm, it tries every config of a finite space, else random ones.

    If all four flags of `config` are off, a standard `multiprocessing.Pool` does the work. Otherwise it is a study of
    `rbt.Tuner` in `config.benchmark_output_dir`, which can be restored, reported and analysed (`results`).

    Args:
        algorithm: a search algorithm, with `suggest`, `update` and `is_complete`.
        n_jobs: number of workers; -1: one per core, or per processor of a Ray cluster.
        backend: "multiprocessing", or "ray", the same as `config.enable_ray_scheduler`.
        max_eval_time: time limit of an evaluation in seconds; one that exceeds it fails, and its process is replaced.
        batch_size: limit of open suggestions; None: two per worker, and more if they do not depend on results and a study
            can send them in batches.
        verbose: whether to show progress on stderr.
        maxtasksperchild: number of evaluations after which a process is replaced; None: never.
        use_persistent_pool: overrides `config.enable_persistent_worker_pool`.
        algorithm_class: a function of (params, data); a class created with params, with `run(data)` or `__call__(data)`; a
            RustyBT `TradingAlgorithm`, which runs from the bundle's first day to its last; or an objective of
            `rbt_ray.adapters.rustybt`, to choose these days.
        param_space: a `ParameterSpace`, RustyBT's own, or any `param_space` of `rbt.Tuner`; None: the search algorithm's.
        bundle_name: for `algorithm_class`, a registered bundle; for a `TradingAlgorithm`, one that RustyBT has ingested.
        config: None: `OptimizationConfig.create_default()`.
        objective: extracts the score from the algorithm's result; None: the Sharpe ratio.
        max_trials: limit of evaluations; None: as many as the search algorithm or the grid has, else 100.
        seed: seed of all random draws; None: a random seed.
        name: the study's folder below `config.benchmark_output_dir`; running it again under the same name resumes the study.
            None: a new folder.

    Raises:
        SettingError: the arguments do not fit together.
        ObjectiveError: `algorithm_class` cannot be run.
    """

    def __init__(
        self,
        algorithm: Any = None,
        n_jobs: int = -1,
        backend: str = "multiprocessing",
        max_eval_time: float | None = None,
        batch_size: int | None = None,
        verbose: bool = True,
        maxtasksperchild: int | None = None,
        use_persistent_pool: bool | None = None,
        *,
        algorithm_class: Any = None,
        param_space: Any = None,
        bundle_name: str | None = None,
        config: OptimizationConfig | None = None,
        objective: ObjectiveFunction | None = None,
        max_trials: int | None = None,
        seed: int | None = None,
        name: str | None = None,
    ) -> None:
        if backend not in ("multiprocessing", "ray"):
            raise SettingError(f"`backend` must be 'multiprocessing' or 'ray'; got {backend!r}.")
        if n_jobs != -1:
            require_count("n_jobs", n_jobs)
        if max_eval_time is not None and not max_eval_time > 0:
            raise SettingError(f"`max_eval_time` must be a number of seconds above 0; got {max_eval_time!r}.")
        if algorithm is None and (algorithm_class is None or param_space is None):
            raise SettingError("`algorithm` is missing: pass it, or `algorithm_class` and `param_space` with a bundle.")
        if algorithm_class is None and (bundle_name is not None or objective is not None):
            raise SettingError("`bundle_name` and `objective` need `algorithm_class`.")
        if algorithm is not None:
            require_strategy(algorithm)
        self.algorithm = algorithm
        self.n_jobs = usable_cpus() if n_jobs == -1 else n_jobs
        self._uses_whole_cluster = n_jobs == -1
        self.max_eval_time = max_eval_time
        self.batch_size = require_count_or_none("batch_size", batch_size)
        self.verbose = verbose
        self.maxtasksperchild = require_count_or_none("maxtasksperchild", maxtasksperchild)
        self.config = OptimizationConfig.create_default() if config is None else config
        self._persistent = (
            self.config.enable_persistent_worker_pool if use_persistent_pool is None else use_persistent_pool
        )
        self._ray = backend == "ray" or self.config.enable_ray_scheduler
        self._space = self._space_of(param_space)
        self._algorithm = None if algorithm_class is None else to_algorithm(algorithm_class, bundle_name)
        self._bundle_name = bundle_name
        self._function = objective or ObjectiveFunction("sharpe_ratio")
        self.max_trials = require_count_or_none("max_trials", max_trials)
        self._seed = resolve_seed(seed)
        self._name = name
        if name is not None and not self._uses_studies:
            raise SettingError("`name` needs a study: set one of the four flags of `config`, and pass a `param_space`.")
        self._run_config: RunConfig | None = None
        self._pool: PersistentWorkerPool | None = None
        self._history: list[OptimizationResult] = []
        self.results: ResultGrid | None = None

    def run(self, objective_function: Callable[[dict[str, Any]], Any]) -> None:
        """Evaluates what the search algorithm suggests; see `get_best_result`.

        Args:
            objective_function: returns the score of a dict of params; higher is better.

        Raises:
            RbtError: as `rbt.Tuner`.
        """
        if self._algorithm is not None:
            raise SettingError("with `algorithm_class`, call `run_optimization()`.")
        if not callable(objective_function):
            raise SettingError(f"`objective_function` must be a function of params; got {objective_function!r}.")
        self._run(ScoredObjective(objective_function, takes_data=False), None)

    def run_scored(self, backtest: Callable[[dict[str, Any]], Any], function: ObjectiveFunction) -> None:
        """Evaluates a backtest whose result contains the score; else like `run`."""
        self._run(ScoredObjective(backtest, False, function), None)

    def run_optimization(self) -> OptimizationResult:
        """Evaluates the algorithm on the bundle and returns the best trial.

        Raises:
            RbtError: as `rbt.Tuner`.
            NoResultError: every trial failed.
        """
        if self._algorithm is None:
            raise SettingError("without `algorithm_class`, call `run(objective)`.")
        shared = self.config.enable_shared_bundle_context or self.config.enable_bohb_optimizer
        name = self._bundle_name
        if isinstance(self._algorithm, DataProvider):
            self._run(ScoredObjectiveWithData(self._algorithm, True, self._function), None)
        elif name is None or (shared and self._uses_studies):
            self._run(ScoredObjective(self._algorithm, True, self._function), name)
        else:
            keep_open = self.config.max_bundle_pool_size if self.config.should_use_bundle_pool() else None
            source = NamedBundle(name, keep_open, self._seed)
            self._run(ScoredObjective(self._algorithm, True, self._function, source), None)
        return self.get_best()

    def get_best_result(self) -> tuple[dict[str, Any], Decimal]:
        """Returns the params of the best trial and its score."""
        best = self.get_best()
        return best.params, best.score

    def get_worker_statistics(self) -> dict[str, WorkerStats]:
        """Returns the statistics of each worker."""
        stats: dict[str, WorkerStats] = {}
        for one in self._history:
            worker = stats.setdefault(one.worker, WorkerStats(one.worker))
            worker.evaluations_completed += one.is_success
            worker.evaluations_failed += not one.is_success
            worker.total_duration_seconds += one.duration_seconds
        return stats

    def cleanup(self) -> None:
        """Stops the workers that are kept for the next run."""
        if self._run_config is not None:
            pools.close_idle(self._run_config)
        if self._pool is not None:
            self._pool.terminate()
            self._pool.join()

    @property
    def _uses_studies(self) -> bool:
        flags = self.config.enable_shared_bundle_context or self.config.enable_bohb_optimizer
        return self._space is not None and (self._persistent or self._ray or flags)

    def _space_of(self, param_space: Any) -> Any:
        given = param_space if param_space is not None else getattr(self.algorithm, "parameter_space", None)
        needs = [name for name in ("enable_bohb_optimizer",) if getattr(self.config, name)]
        if given is None and (needs or self._ray):
            raise SettingError(
                f"`param_space` is required for {' and '.join([*needs, *(['Ray'] if self._ray else [])])}: "
                f"{type(self.algorithm).__name__} has no `parameter_space`."
            )
        return None if given is None else to_space(given)

    def _run(self, objective: ScoredObjective, bundle_name: str | None) -> None:
        self._history, self.results = [], None
        if self._uses_studies:
            self._run_study(objective, bundle_name)
        else:
            self._run_on_pool(objective)

    def _run_study(self, objective: ScoredObjective, bundle_name: str | None) -> None:
        here: Literal["auto", "ray"] = "auto" if pools.backend_of(RunConfig()) == "ray" else "ray"
        self._run_config = RunConfig(
            name=self._name,
            storage_path=self.config.benchmark_output_dir,
            backend=here if self._ray else "local",
            num_workers=None if self._uses_whole_cluster and self._ray else self.n_jobs,
            trial_timeout_s=self.max_eval_time,
            recycle_after=self.maxtasksperchild,
            verbose=int(self.verbose or self.config.enable_debug_logging),
        )
        search = {**self._search(), "seed": self._seed}
        what = search["search_alg"] if isinstance(search["search_alg"], str) else "the search algorithm's suggestions"
        self._log(f"{what} by {'Ray actors' if self._ray else 'persistent processes'}")
        self.results = run_study(
            objective, self._space, bundle_name, search, self._run_config, keep_workers=self._persistent
        )
        self._history = results_of(self.results)

    def _search(self) -> dict[str, Any]:
        if self.config.enable_bohb_optimizer:
            return {"search_alg": "bohb", "num_samples": self.max_trials or getattr(self.algorithm, "n_iter", _SAMPLES)}
        if self.algorithm is not None:
            independent = self.batch_size is None and not getattr(self.algorithm, "learns", True)
            ahead = _MAX_OPEN if independent else max_open_suggestions(self.algorithm, self.batch_size, self.n_jobs)
            searcher = StrategySearcher(self.algorithm, ahead, self._limit)
            return {"search_alg": lambda: searcher, "max_pending": ahead}
        if self._is_grid:
            return {"search_alg": "grid"}
        return {"search_alg": "random", "num_samples": self.max_trials or _SAMPLES}

    @property
    def _limit(self) -> int | None:
        """Limit of suggestions; needed as an algorithm that counts results would, asked ahead, exceed its `n_iter`."""
        limits = [n for n in (self.max_trials, getattr(self.algorithm, "n_iter", None)) if isinstance(n, int)]
        return min(limits, default=None)

    @property
    def _is_grid(self) -> bool:
        size = self._space.size
        return size is not None and (self.max_trials is None or size <= self.max_trials)

    def _run_on_pool(self, objective: ScoredObjective) -> None:
        strategy = self.algorithm
        if strategy is None:
            drawn = self.max_trials or _SAMPLES
            strategy = (
                GridSearchAlgorithm(self._space)
                if self._is_grid
                else RandomSearchAlgorithm(self._space, drawn, self._seed)
            )
        searcher = StrategySearcher(strategy, max_open_suggestions(strategy, self.batch_size, self.n_jobs), self._limit)

        def run(pool: Any) -> None:
            run_on_pool(pool, searcher, objective, max_eval_time=self.max_eval_time, on_result=self._history.append)

        if self._persistent:
            self._log("a PersistentWorkerPool, as the search algorithm has no `parameter_space`")
            self._pool = get_global_pool(self.n_jobs, self.maxtasksperchild)
            run(self._pool)
            return
        self._log("a standard multiprocessing.Pool")
        with multiprocessing.Pool(self.n_jobs, maxtasksperchild=self.maxtasksperchild) as pool:
            run(pool)

    def _no_result(self) -> str:
        first = next((one.error for one in self._history if one.error), "nothing was run")
        return f"no trial of {len(self._history)} has a score at full fidelity. First error: {first}"

    def _log(self, what: str) -> None:
        if self.config.enable_debug_logging:
            print(f"ParallelOptimizer: {what}, {self.n_jobs} workers.", file=sys.stderr)
