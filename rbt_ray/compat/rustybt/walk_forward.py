"""RustyBT's walk-forward names: a search on each training window, and its best params on the windows after it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, Literal

from rbt_ray.compat.rustybt.config import OptimizationConfig
from rbt_ray.compat.rustybt.objective import ObjectiveFunction
from rbt_ray.compat.rustybt.optimizer import Optimizer
from rbt_ray.compat.rustybt.search_algorithms import require_count
from rbt_ray.errors import SettingError

_STABLE = Decimal("0.2")
_AGGREGATED = ("score", "sharpe_ratio", "total_return", "max_drawdown")


@dataclass
class WindowConfig:
    """The lengths of the windows, in rows of the data.

    Args:
        train_period: rows to optimize on.
        validation_period: rows after them, which the best params are evaluated on first.
        test_period: rows after these.
        step_size: rows between the starts of two windows.
        window_type: "rolling" has `train_period` rows to optimize on; "expanding" has all rows before as well.

    Raises:
        SettingError: a length is not a whole number above 0, or `window_type` is neither.
    """

    train_period: int
    validation_period: int
    test_period: int
    step_size: int
    window_type: Literal["rolling", "expanding"] = "rolling"

    def __post_init__(self) -> None:
        for name in ("train_period", "validation_period", "test_period", "step_size"):
            require_count(name, getattr(self, name))
        if self.window_type not in ("rolling", "expanding"):
            raise SettingError(f"`window_type` must be 'rolling' or 'expanding'; got {self.window_type!r}.")

    def windows(self, n_rows: int) -> Iterator[tuple[range, range, range]]:
        """Yields the rows to train, to validate and to test on."""
        length = self.train_period + self.validation_period + self.test_period
        for start in range(0, n_rows - length + 1, self.step_size):
            stop = start + self.train_period
            later = stop + self.validation_period
            first = start if self.window_type == "rolling" else 0
            yield range(first, stop), range(stop, later), range(later, later + self.test_period)


@dataclass
class WindowResult:
    """The results of a window; the last index of a window is inclusive, as in RustyBT.

    Args:
        window_id: from 0.
        best_params: the best of the search on the training rows.
        train_metrics: of the best params on the training rows, with their "score".
        validation_metrics: likewise on the validation rows.
        test_metrics: likewise on the test rows.
        train_start_idx: first training row.
        train_end_idx: last training row.
        test_start_idx: first test row.
        test_end_idx: last test row.
        optimization_trials: number of trials of the search.
    """

    window_id: int
    best_params: dict[str, Any]
    train_metrics: dict[str, Any]
    validation_metrics: dict[str, Any]
    test_metrics: dict[str, Any]
    train_start_idx: int
    train_end_idx: int
    test_start_idx: int
    test_end_idx: int
    optimization_trials: int


@dataclass
class WalkForwardResult:
    """The results of all windows.

    Args:
        window_results: in order of time.
        aggregate_metrics: for "train", "validation" and "test", the mean, median, std, min and max of score, sharpe_ratio,
            total_return and max_drawdown over the windows, such as "score_mean".
        parameter_stability: for each number among the params, its mean, std, min, max and coefficient_of_variation over the
            windows, and `is_stable` if that is below 0.2.
        num_windows: their number.
        config: the lengths of the windows.
    """

    window_results: list[WindowResult]
    aggregate_metrics: dict[str, dict[str, Decimal]]
    parameter_stability: dict[str, dict[str, Any]]
    num_windows: int
    config: WindowConfig


class WalkForwardOptimizer:
    """Searches on each training window, and evaluates the best params on the validation and test windows after it.

    `rbt.TuneConfig(validation=rbt.WalkForward(...))` does this for objectives of bundles, with positions that carry into
    the test bars.

    Args:
        parameter_space: the space to search.
        search_algorithm_factory: returns a new search algorithm for each window.
        objective_function: extracts the score from what `backtest_function` returns.
        backtest_function: runs a backtest with a dict of params on a part of the data.
        config: the lengths of the windows.
        max_trials_per_window: limit of backtests per window.
        n_jobs: number of workers; -1: one per core.
        optimization: None: `OptimizationConfig.create_default()`.

    Raises:
        SettingError: an argument cannot be used.
    """

    def __init__(
        self,
        parameter_space: Any,
        search_algorithm_factory: Callable[[], Any],
        objective_function: ObjectiveFunction,
        backtest_function: Callable[[dict[str, Any], Any], Any],
        config: WindowConfig,
        max_trials_per_window: int = 100,
        *,
        n_jobs: int = 1,
        optimization: OptimizationConfig | None = None,
    ) -> None:
        if not callable(search_algorithm_factory):
            raise SettingError(
                f"`search_algorithm_factory` must be a function that returns a search algorithm; got {search_algorithm_factory!r}."
            )
        self.parameter_space = parameter_space
        self.search_algorithm_factory = search_algorithm_factory
        self.objective_function = objective_function
        self.backtest_function = backtest_function
        self.config = config
        self.max_trials_per_window = require_count("max_trials_per_window", max_trials_per_window)
        self._n_jobs = n_jobs
        self._optimization = optimization

    def run(self, data: Any) -> WalkForwardResult:
        """Runs the search on each window.

        Args:
            data: a frame of polars or pandas, or a sequence or array of rows.

        Raises:
            SettingError: it has fewer rows than one window.
            NoResultError: every trial of a window failed.
        """
        windows = list(self.config.windows(len(data)))
        if not windows:
            least = self.config.train_period + self.config.validation_period + self.config.test_period
            raise SettingError(f"`data` needs {least} rows for one window of `config`; it has {len(data)}.")
        results = [self._window(number, data, *rows) for number, rows in enumerate(windows)]
        parts = ("train", "validation", "test")
        return WalkForwardResult(
            window_results=results,
            aggregate_metrics={
                part: _aggregated([getattr(one, f"{part}_metrics") for one in results]) for part in parts
            },
            parameter_stability=_stability([one.best_params for one in results]),
            num_windows=len(results),
            config=self.config,
        )

    def _window(self, number: int, data: Any, train: range, validation: range, test: range) -> WindowResult:
        optimizer = Optimizer(
            self.parameter_space,
            self.search_algorithm_factory(),
            self.objective_function,
            partial(_backtest_on, self.backtest_function, _rows(data, train)),
            self.max_trials_per_window,
            n_jobs=self._n_jobs,
            config=self._optimization,
        )
        best = optimizer.optimize()
        return WindowResult(
            window_id=number,
            best_params=best.params,
            train_metrics={**best.backtest_metrics, "score": best.score},
            validation_metrics=self._evaluated(best.params, _rows(data, validation)),
            test_metrics=self._evaluated(best.params, _rows(data, test)),
            train_start_idx=train[0],
            train_end_idx=train[-1],
            test_start_idx=test[0],
            test_end_idx=test[-1],
            optimization_trials=len(optimizer.get_history()),
        )

    def _evaluated(self, params: dict[str, Any], part: Any) -> dict[str, Any]:
        answer = self.backtest_function(params, part)
        found = answer.get("performance_metrics", {}) if isinstance(answer, Mapping) else {}
        return {**found, "score": self.objective_function.evaluate(answer)}


def _backtest_on(backtest: Callable[[dict[str, Any], Any], Any], part: Any, params: dict[str, Any]) -> Any:
    return backtest(params, part)


def _rows(data: Any, rows: range) -> Any:
    if hasattr(data, "iloc"):
        return data.iloc[rows.start : rows.stop]
    return data[rows.start : rows.stop]


def _aggregated(metrics: Sequence[Mapping[str, Any]]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for name in _AGGREGATED:
        values = [float(one[name]) for one in metrics if name in one]
        found.update((f"{name}_{key}", value) for key, value in _statistics(values).items())
    return found


def _statistics(values: Sequence[float]) -> dict[str, Decimal]:
    if not values:
        return {}
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    figures = {"mean": statistics.mean(values), "median": statistics.median(values), "std": spread}
    figures |= {"min": min(values), "max": max(values)}
    return {name: Decimal(str(value)) for name, value in figures.items()}


def _stability(params: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name in sorted({name for one in params for name in one}):
        values = [one.get(name) for one in params]
        numbers = [float(value) for value in values if isinstance(value, (int, float, Decimal))]
        if len(numbers) < 2:
            continue
        figures: dict[str, Any] = _statistics(numbers)
        del figures["median"]
        variation = figures["std"] / figures["mean"] if figures["mean"] else Decimal("Infinity")
        found[name] = {**figures, "coefficient_of_variation": variation, "is_stable": variation < _STABLE}
    return found
