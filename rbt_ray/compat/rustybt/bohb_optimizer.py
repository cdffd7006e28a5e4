"""BOHBOptimizer: Hyperband's budgets with a model of the results, for an objective of params and a budget."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

import numpy as np

from rbt_ray.compat.rustybt.parameter_space import to_space
from rbt_ray.compat.rustybt.result import SCORE, OptimizationResult
from rbt_ray.compat.rustybt.run_study import Wanted, results_of, run_study
from rbt_ray.compat.rustybt.scoring import Scored
from rbt_ray.compat.rustybt.search_algorithms import count, seed_of
from rbt_ray.data.bundle import Bundle
from rbt_ray.errors import NoResultError, SettingError
from rbt_ray.pool.local.pool import usable_cpus
from rbt_ray.tuner import pools
from rbt_ray.tuner.config import RunConfig
from rbt_ray.tuner.result_grid import ResultGrid

_MOST_TICKS = 10**6


@dataclass(frozen=True)
class Budgeted:
    """An objective of (params, budget) as one of (params, data): the budget is the share of the ticks it sees.

    Args:
        run: the user's own.
        max_budget: of all ticks.
        n_ticks: how many there are.
    """

    run: Callable[[dict[str, Any], float], Any]
    max_budget: float
    n_ticks: int

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        """The user's own, whose source tells one study's objective from another's."""
        return self.run

    def __call__(self, params: dict[str, Any], data: Any) -> Any:
        """The score."""
        return self.run(params, round(self.max_budget * data.n_bars / self.n_ticks, 9))


class BOHBOptimizer:
    """Runs many params on small budgets, and the better ones on larger ones, up to `max_budget`.

    There is no name server and nothing to start: a run is a study of `rbt.Tuner`'s with `search_alg="bohb"`.

    Args:
        parameter_space: a `ParameterSpace`, RustyBT's own, or whatever `rbt.Tuner` takes as `param_space`.
        min_budget: the smallest, above 0.
        max_budget: the largest, at least `min_budget`; only results on it count for the best.
        eta: by how much the budget grows from rung to rung, above 1.
        n_trials: how many params are tried, most of them on small budgets only.
        n_jobs: how many workers; -1: one for each core.
        seed: everything random follows from it; None draws one.
        storage_path: where studies are kept.
        verbose: whether progress is shown on stderr.

    Raises:
        SettingError: a value is not one of those it may have.
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
                f"`min_budget` is above 0 and at most `max_budget`; got min_budget={min_budget!r}, max_budget={max_budget!r}."
            )
        if not 1 < eta < math.inf:
            raise SettingError(f"`eta` is a number above 1; got {eta!r}.")
        self.parameter_space = parameter_space
        self.space = to_space(parameter_space)
        self.min_budget, self.max_budget, self.eta = min_budget, max_budget, eta
        self.n_trials = count("n_trials", n_trials)
        self.n_jobs = usable_cpus() if n_jobs == -1 else count("n_jobs", n_jobs)
        self._seed = seed_of(seed)
        self._run_config = RunConfig(
            num_workers=self.n_jobs, storage_path=storage_path, backend="local", verbose=int(verbose)
        )
        self._history: list[OptimizationResult] = []
        self.results: ResultGrid | None = None

    def run(self, objective_function: Callable[[dict[str, Any], float], Any]) -> OptimizationResult:
        """Runs the search to its end; returns the best trial on `max_budget`.

        Args:
            objective_function: returns the score of params on a budget, a number, better when higher.

        Raises:
            NoResultError: every trial on `max_budget` failed.
        """
        if not callable(objective_function):
            raise SettingError(f"`objective_function` is a function of (params, budget); got {objective_function!r}.")
        ticks = self._ticks()
        objective = Scored(Budgeted(objective_function, float(self.max_budget), ticks.n_bars), takes_data=True)
        search = {
            "search_alg": "bohb",
            "num_samples": self.n_trials,
            "eta": self.eta,
            "min_fidelity": self.min_budget / self.max_budget,
            "seed": self._seed,
        }
        self.results = run_study(Wanted(objective, self.space, ticks, search), self._run_config, keep_workers=True)
        self._history = results_of(self.results)
        return self.get_best()

    def suggest(self) -> NoReturn:
        """Not supported: which params are tried next depends on the budget too.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "BOHB chooses params and budgets together, so there is no `suggest()`: use `run(objective)`."
        )

    def update(self, params: dict[str, Any], score: Decimal) -> NoReturn:
        """Not supported; see `suggest`.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "BOHB learns from results on budgets, so there is no `update()`: use `run(objective)`."
        )

    def get_best(self) -> OptimizationResult:
        """The best trial on `max_budget`; of equals the first.

        Raises:
            NoResultError: there is none.
        """
        whole = [one for one in self._history if one.is_success and one.fidelity == 1]
        if not whole:
            raise NoResultError(f"no trial of {len(self._history)} has a {SCORE} on the budget {self.max_budget:g}.")
        return max(whole, key=lambda one: one.score)

    def get_best_params(self) -> dict[str, Any]:
        """The params of the best trial."""
        return self.get_best().params

    def get_results(self) -> list[OptimizationResult]:
        """All trials in order, on whatever budget: `fidelity` times `max_budget`."""
        return list(self._history)

    def cleanup(self) -> None:
        """Ends the workers that wait for a next run."""
        pools.close_idle(self._run_config)

    def _ticks(self) -> Bundle:
        """Bars that say nothing, of which every budget of the ladder is a whole number where `eta` is one."""
        n_rungs = math.floor(math.log(self.max_budget / self.min_budget) / math.log(self.eta) + 1e-9)
        n = min(self.eta**n_rungs, _MOST_TICKS)
        n_ticks = round(n) if float(n).is_integer() and n > 1 else _MOST_TICKS // 100
        minutes = np.arange(n_ticks).astype("datetime64[m]")
        return Bundle.from_arrays({"close": np.ones((n_ticks, 1))}, minutes, ["tick"], periods_per_year=525_600)
