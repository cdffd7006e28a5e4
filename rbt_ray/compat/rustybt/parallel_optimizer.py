"""ParallelOptimizer: RustyBT's front door, in both of its shapes."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from rbt_ray.compat.rustybt.config import OptimizationConfig
from rbt_ray.compat.rustybt.global_pool import get_global_pool
from rbt_ray.compat.rustybt.objective import ObjectiveFunction
from rbt_ray.compat.rustybt.parameter_space import to_space
from rbt_ray.compat.rustybt.result import OptimizationResult
from rbt_ray.compat.rustybt.run_study import Wanted, results_of, run_study
from rbt_ray.compat.rustybt.scoring import ByName, Scored, ScoredWithOwnData, algorithm_of
from rbt_ray.compat.rustybt.search_algorithms import (
    GridSearchAlgorithm,
    RandomSearchAlgorithm,
    count,
    count_or_none,
    seed_of,
)
from rbt_ray.compat.rustybt.standard_pool import run_on
from rbt_ray.compat.rustybt.strategy_searcher import StrategySearcher, check_strategy, how_far_ahead
from rbt_ray.compat.rustybt.worker_pool import PersistentWorkerPool
from rbt_ray.errors import NoResultError, SettingError
from rbt_ray.objectives.data_provider import OwnData
from rbt_ray.pool.local.pool import usable_cpus
from rbt_ray.tuner import pools
from rbt_ray.tuner.config import RunConfig
from rbt_ray.tuner.result_grid import ResultGrid

_SAMPLES = 100
_MANY = 4096
"""Suggestions that may be open where results do not change them: enough for batches that are worth their carriage."""


@dataclass
class WorkerStats:
    """What a worker has done.

    Args:
        worker_id: its name.
        evaluations_completed: trials with a score.
        evaluations_failed: trials without.
        total_duration_seconds: spent on both.
    """

    worker_id: str
    evaluations_completed: int = 0
    evaluations_failed: int = 0
    total_duration_seconds: Decimal = Decimal(0)


class ParallelOptimizer:
    """Evaluates parameters side by side.

    In the one shape it gets a strategy that says what to try, and `run` an objective of params:
    ``ParallelOptimizer(GridSearchAlgorithm(space), n_jobs=4).run(objective)``. In the other it gets an algorithm, a space
    and a bundle: ``ParallelOptimizer(algorithm_class=..., param_space=..., bundle_name=..., config=...)`` and
    `run_optimization`; a finite space is tried as a whole, another by random draws, unless there is a strategy too.

    What does the work, `config` says: a standard `multiprocessing.Pool` where all of its four flags are off; else a study
    of `rbt.Tuner`'s in `config.benchmark_output_dir`, which can be restored, reported and analysed (`results`).

    Args:
        algorithm: a strategy, with `suggest`, `update` and `is_complete`.
        n_jobs: how many workers; -1: one for each core, or each processor of a Ray cluster.
        backend: "multiprocessing", or "ray" for `config.enable_ray_scheduler`.
        max_eval_time: seconds an evaluation may take; a later one has failed, and its process is replaced.
        batch_size: how many suggestions are open at once; None: two a worker, and more where they do not depend on
            results and a study can send them in batches.
        verbose: whether progress is shown on stderr.
        maxtasksperchild: evaluations after which a process is replaced; None: never.
        use_persistent_pool: overrides `config.enable_persistent_worker_pool`.
        algorithm_class: a function of (params, data); a class made with params, with `run(data)` or `__call__(data)`; a
            RustyBT `TradingAlgorithm`, which runs from the bundle's first day to its last; or `rbt_ray.adapters.rustybt`'s
            objective of one, where these are chosen.
        param_space: a `ParameterSpace`, RustyBT's own, or whatever `rbt.Tuner` takes; None: the strategy's own.
        bundle_name: for `algorithm_class`, a registered bundle; for a `TradingAlgorithm`, one that RustyBT has ingested.
        config: None: `OptimizationConfig.create_default()`.
        objective: what is optimized of the algorithm's result; None: the Sharpe ratio.
        max_trials: how many evaluations at most; None: as many as the strategy or the grid has, else 100.
        seed: everything random follows from it; None draws one.
        name: the study's folder below `config.benchmark_output_dir`: running it again under the same name goes on where it
            stopped. None: a new one every time.

    Raises:
        SettingError: these do not go together.
        ObjectiveError: `algorithm_class` is not one that can be run.
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
            raise SettingError(f"`backend` is 'multiprocessing' or 'ray'; got {backend!r}.")
        if n_jobs != -1:
            count("n_jobs", n_jobs)
        if max_eval_time is not None and not max_eval_time > 0:
            raise SettingError(f"`max_eval_time` is a number of seconds above 0; got {max_eval_time!r}.")
        if algorithm is None and (algorithm_class is None or param_space is None):
            raise SettingError(
                "`algorithm` says what to try; without it, `algorithm_class` and `param_space` are needed, and a bundle."
            )
        if algorithm_class is None and (bundle_name is not None or objective is not None):
            raise SettingError("`bundle_name` and `objective` go with `algorithm_class`.")
        if algorithm is not None:
            check_strategy(algorithm)
        self.algorithm = algorithm
        self.n_jobs = usable_cpus() if n_jobs == -1 else n_jobs
        self._all_of_a_cluster = n_jobs == -1
        self.max_eval_time = max_eval_time
        self.batch_size = count_or_none("batch_size", batch_size)
        self.verbose = verbose
        self.maxtasksperchild = count_or_none("maxtasksperchild", maxtasksperchild)
        self.config = OptimizationConfig.create_default() if config is None else config
        self._persistent = (
            self.config.enable_persistent_worker_pool if use_persistent_pool is None else use_persistent_pool
        )
        self._ray = backend == "ray" or self.config.enable_ray_scheduler
        self._space = self._space_of(param_space)
        self._algorithm = None if algorithm_class is None else algorithm_of(algorithm_class, bundle_name)
        self._bundle_name = bundle_name
        self._function = objective or ObjectiveFunction("sharpe_ratio")
        self.max_trials = count_or_none("max_trials", max_trials)
        self._seed = seed_of(seed)
        self._name = name
        if name is not None and not self._uses_studies:
            raise SettingError(
                "`name` is that of a study, and there is none without one of the four flags of `config`, or without a "
                "`param_space`."
            )
        self._run_config: RunConfig | None = None
        self._pool: PersistentWorkerPool | None = None
        self._history: list[OptimizationResult] = []
        self.results: ResultGrid | None = None

    def run(self, objective_function: Callable[[dict[str, Any]], Any]) -> None:
        """Evaluates what the strategy suggests; see `get_best_result`.

        Args:
            objective_function: returns the score of a dict of params, a number, better when higher.

        Raises:
            RbtError: as `rbt.Tuner`.
        """
        if self._algorithm is not None:
            raise SettingError("with `algorithm_class`, it is `run_optimization()` that runs.")
        if not callable(objective_function):
            raise SettingError(f"`objective_function` is a function of params; got {objective_function!r}.")
        self._run(Scored(objective_function, takes_data=False), None)

    def run_scored(self, backtest: Callable[[dict[str, Any]], Any], function: ObjectiveFunction) -> None:
        """`run`, for a backtest from whose result the score is still to be taken."""
        self._run(Scored(backtest, False, function), None)

    def run_optimization(self) -> OptimizationResult:
        """Evaluates the algorithm on the bundle; returns the best trial.

        Raises:
            RbtError: as `rbt.Tuner`.
            NoResultError: every trial failed.
        """
        if self._algorithm is None:
            raise SettingError(
                "with a strategy alone, it is `run(objective)` that runs; here `algorithm_class` is needed."
            )
        shared = self.config.enable_shared_bundle_context or self.config.enable_bohb_optimizer
        name = self._bundle_name
        if isinstance(self._algorithm, OwnData):
            self._run(ScoredWithOwnData(self._algorithm, True, self._function), None)
        elif name is None or (shared and self._uses_studies):
            self._run(Scored(self._algorithm, True, self._function), name)
        else:
            keep_open = self.config.max_bundle_pool_size if self.config.should_use_bundle_pool() else None
            source = ByName(name, keep_open, self._seed)
            self._run(Scored(self._algorithm, True, self._function, source), None)
        return self.get_best()

    def get_best(self) -> OptimizationResult:
        """The best trial at full fidelity; of equals the first.

        Raises:
            NoResultError: there is none.
        """
        whole = [one for one in self._history if one.is_success and one.fidelity == 1]
        if not whole:
            first = next((one.error for one in self._history if one.error), "nothing was run")
            raise NoResultError(f"no trial of {len(self._history)} has a score at full fidelity. The first: {first}")
        return max(whole, key=lambda one: one.score)

    def get_best_params(self) -> dict[str, Any]:
        """The params of the best trial."""
        return self.get_best().params

    def get_best_result(self) -> tuple[dict[str, Any], Decimal]:
        """The params of the best trial and its score."""
        best = self.get_best()
        return best.params, best.score

    def get_results(self) -> list[OptimizationResult]:
        """All trials in order, failed ones too."""
        return list(self._history)

    def get_worker_statistics(self) -> dict[str, WorkerStats]:
        """What each worker has done."""
        stats: dict[str, WorkerStats] = {}
        for one in self._history:
            worker = stats.setdefault(one.worker, WorkerStats(one.worker))
            worker.evaluations_completed += one.is_success
            worker.evaluations_failed += not one.is_success
            worker.total_duration_seconds += one.duration_seconds
        return stats

    def cleanup(self) -> None:
        """Ends the workers that wait for a next run."""
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
                f"`param_space` is needed for {' and '.join([*needs, *(['Ray'] if self._ray else [])])}: "
                f"{type(self.algorithm).__name__} has no `parameter_space`."
            )
        return None if given is None else to_space(given)

    def _run(self, objective: Scored, bundle_name: str | None) -> None:
        self._history, self.results = [], None
        if self._uses_studies:
            self._run_study(objective, bundle_name)
        else:
            self._run_on_pool(objective)

    def _run_study(self, objective: Scored, bundle_name: str | None) -> None:
        here: Literal["auto", "ray"] = "auto" if pools.backend_of(RunConfig()) == "ray" else "ray"
        self._run_config = RunConfig(
            name=self._name,
            storage_path=self.config.benchmark_output_dir,
            backend=here if self._ray else "local",
            num_workers=None if self._all_of_a_cluster and self._ray else self.n_jobs,
            trial_timeout_s=self.max_eval_time,
            recycle_after=self.maxtasksperchild,
            verbose=int(self.verbose or self.config.enable_debug_logging),
        )
        search = self._search()
        self._say(f"{_words(search)} by {'Ray actors' if self._ray else 'processes that stay'}")
        wanted = Wanted(objective, self._space, bundle_name, {**search, "seed": self._seed})
        self.results = run_study(wanted, self._run_config, keep_workers=self._persistent)
        self._history = results_of(self.results)

    def _search(self) -> dict[str, Any]:
        if self.config.enable_bohb_optimizer:
            return {"search_alg": "bohb", "num_samples": self.max_trials or getattr(self.algorithm, "n_iter", _SAMPLES)}
        if self.algorithm is not None:
            independent = self.batch_size is None and not getattr(self.algorithm, "learns", True)
            ahead = _MANY if independent else how_far_ahead(self.algorithm, self.batch_size, self.n_jobs)
            searcher = StrategySearcher(self.algorithm, ahead, self._limit)
            return {"search_alg": lambda: searcher, "max_pending": ahead}
        if self._is_grid:
            return {"search_alg": "grid"}
        return {"search_alg": "random", "num_samples": self.max_trials or _SAMPLES}

    @property
    def _limit(self) -> int | None:
        """How many suggestions to ask for: a strategy that counts results would, asked ahead, give more than its `n_iter`."""
        limits = [n for n in (self.max_trials, getattr(self.algorithm, "n_iter", None)) if isinstance(n, int)]
        return min(limits, default=None)

    @property
    def _is_grid(self) -> bool:
        size = self._space.size
        return size is not None and (self.max_trials is None or size <= self.max_trials)

    def _run_on_pool(self, objective: Scored) -> None:
        strategy = self.algorithm
        if strategy is None:
            drawn = self.max_trials or _SAMPLES
            strategy = (
                GridSearchAlgorithm(self._space)
                if self._is_grid
                else RandomSearchAlgorithm(self._space, drawn, self._seed)
            )
        searcher = StrategySearcher(strategy, how_far_ahead(strategy, self.batch_size, self.n_jobs), self._limit)

        def run(pool: Any) -> None:
            run_on(pool, searcher, objective, max_eval_time=self.max_eval_time, on_result=self._history.append)

        if self._persistent:
            self._say("a PersistentWorkerPool, since the strategy does not say what its space is")
            self._pool = get_global_pool(self.n_jobs, self.maxtasksperchild)
            run(self._pool)
            return
        self._say("a standard multiprocessing.Pool")
        with multiprocessing.Pool(self.n_jobs, maxtasksperchild=self.maxtasksperchild) as pool:
            run(pool)

    def _say(self, what: str) -> None:
        if self.config.enable_debug_logging:
            print(f"ParallelOptimizer: {what}, {self.n_jobs} workers.", file=sys.stderr)


def _words(search: dict[str, Any]) -> str:
    return search["search_alg"] if isinstance(search["search_alg"], str) else "the strategy's suggestions"
