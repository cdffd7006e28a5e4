"""ObjectiveFunction, and RustyBT's objectives and algorithms as objectives of rbt_ray."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from rbt_ray.compat.rustybt.shared_bundle import BundleConnectionPool
from rbt_ray.data.registry import load_bundle
from rbt_ray.errors import ObjectiveError, ObjectiveResultError, SettingError
from rbt_ray.objectives.returned_metrics import metrics_of
from rbt_ray.types import RESULT_COLUMNS

if TYPE_CHECKING:
    from pathlib import Path

    from rbt_ray.data.bundle import Bundle
    from rbt_ray.data.file_tree import FileTree
    from rbt_ray.data.view import BundleView
    from rbt_ray.objectives.kind import DataProvider

SCORE = "score"
"""The metric of a study that this package runs, unless the objective returns Backtests."""
METRICS = {
    "sharpe_ratio": "sharpe",
    "sortino_ratio": "sortino",
    "calmar_ratio": "calmar",
    "total_return": "total_return",
    "max_drawdown": "max_drawdown",
    "win_rate": "win_rate",
    "profit_factor": "profit_factor",
}
"""RustyBT's names of metrics, and those of `Backtest`."""


class ObjectiveFunction:
    """Extracts the score from a backtest's result; higher is better.

    Args:
        metric: one of `METRICS`, or "custom".
        custom_function: returns the score of a result, for "custom".
        higher_is_better: False: negate the score.

    Raises:
        SettingError: the arguments do not fit together.
    """

    def __init__(
        self, metric: str, custom_function: Callable[[Any], Any] | None = None, higher_is_better: bool = True
    ) -> None:
        if metric not in METRICS and metric != "custom":
            raise SettingError(f"`metric` must be one of {', '.join(METRICS)} or custom; got {metric!r}.")
        if (metric == "custom") != callable(custom_function):
            raise SettingError(
                f"`custom_function` must be a function for metric='custom', and None otherwise; got {custom_function!r} for "
                f"{metric!r}."
            )
        self.metric = metric
        self.custom_function = custom_function
        self.higher_is_better = higher_is_better

    def evaluate(self, backtest_result: Any) -> Decimal:
        """Returns the score.

        Args:
            backtest_result: a dict with "performance_metrics", as RustyBT's backtests return; a dict of metrics by
                RustyBT's or rbt_ray's names; a `Backtest`; or the number itself.

        Raises:
            KeyError: the result lacks the metric.
            ObjectiveResultError: the result has another type, or the metric is not a number.
        """
        if self.custom_function is not None:
            value = self.custom_function(backtest_result)
        elif isinstance(backtest_result, (int, float, Decimal)):
            value = backtest_result
        else:
            value = self._find(backtest_result)
        try:
            score = Decimal(str(value))
        except ArithmeticError:
            raise ObjectiveResultError(f"the score must be a number; {self!r} got {value!r}.") from None
        return score if self.higher_is_better else -score

    def _find(self, backtest_result: Any) -> Any:
        metrics = backtest_result.get("performance_metrics") if isinstance(backtest_result, Mapping) else None
        if metrics is None:
            metrics = metrics_of(backtest_result, self.metric)
        for name in (self.metric, METRICS[self.metric]):
            if name in metrics:
                return metrics[name]
        raise KeyError(f"the backtest has no metric {self.metric!r}; it has {sorted(metrics)}.")

    def __repr__(self) -> str:
        return f"ObjectiveFunction({self.metric!r}, higher_is_better={self.higher_is_better})"


_views: dict[str, BundleView] = {}


@dataclass(frozen=True)
class NamedBundle:
    """A bundle that each process opens by name.

    Args:
        name: name of a registered bundle.
        keep_open: how many bundles a process keeps open; None: open it for every trial.
        seed: determines, with a trial's parameters, the trial's seed.
    """

    name: str
    keep_open: int | None
    seed: int

    def view(self, params: Mapping[str, Any]) -> BundleView:
        """Returns a view of the whole bundle, with the trial's seed."""
        digest = hashlib.sha256(f"{self.seed} {sorted(params.items())!r}".encode()).digest()
        return self._whole().for_trial(int.from_bytes(digest[:4], "little"))

    def _whole(self) -> BundleView:
        if self.keep_open is None:
            return load_bundle(self.name).view()
        bundle = BundleConnectionPool.get_instance(self.keep_open).get_bundle(self.name)
        if bundle.version not in _views:
            _views.clear()  # values derived from another bundle would only use memory
            _views[bundle.version] = bundle.view()
        return _views[bundle.version]


@dataclass(frozen=True)
class ScoredObjective:
    """A user's objective that returns the optimized metric.

    Args:
        run: the user's function of params, or of params and data.
        takes_data: whether `run` takes data.
        function: extracts the score from the result; None: the result is the score.
        source: the bundle to open here; None: the worker passes the data, or there is none.
    """

    run: Callable[..., Any]
    takes_data: bool
    function: ObjectiveFunction | None = None
    source: NamedBundle | None = None

    __signature__: ClassVar = inspect.Signature(
        [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ("params", "data")]
    )

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        """The user's function, whose source identifies the study's objective."""
        return self.run

    @property
    def fingerprinted(self) -> dict[str, Any]:
        """Everything that determines the results besides the study's seed, to compare when a study is resumed."""
        return {"run": self.run, "function": self.function, "bundle": self.source and self.source.name}

    @property
    def warmup(self) -> Any:
        """The warmup of the user's function."""
        return getattr(self.run, "warmup", 0)

    @property
    def metric(self) -> str:
        """Name of the optimized metric."""
        return SCORE if self._is_score else METRICS[self.function.metric]  # type: ignore[union-attr]

    @property
    def maximizes(self) -> bool:
        """Whether a higher value is better; it always is for a score."""
        return self._is_score or self.function.higher_is_better  # type: ignore[union-attr]

    @property
    def _is_score(self) -> bool:
        return self.function is None or self.function.metric == "custom"

    def __call__(self, params: dict[str, Any], data: Any) -> Any:
        """Returns the function's `Backtest` if it has the metric, else a dict of plain metrics."""
        if self.source is not None:
            data = self.source.view(params)
        answer = self.run(params, data) if self.takes_data else self.run(params)
        if not self._is_score and callable(getattr(answer, "metrics", None)):
            return answer
        score = answer if self.function is None else self.function.evaluate(answer)
        if not isinstance(score, (int, float, Decimal)) and not hasattr(score, "item"):
            raise ObjectiveError(f"an objective must return its score, a number; got {type(score).__name__}.")
        sign = 1 if self.maximizes else -1
        return {**_plain_metrics(answer), self.metric: sign * float(score)}

    def score(self, params: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        """Returns the score, higher is better, and all metrics, for pools without a study."""
        answer = self(params, None)
        metrics = answer.metrics() if callable(getattr(answer, "metrics", None)) else answer
        return (1 if self.maximizes else -1) * float(metrics[self.metric]), dict(metrics)


class ScoredObjectiveWithData(ScoredObjective):
    """An objective with its own data, such as a `TradingAlgorithm` with an ingested bundle; workers open it once."""

    @property
    def _own(self) -> DataProvider:
        own: DataProvider = self.run  # type: ignore[assignment]
        return own

    @property
    def bundle(self) -> Bundle:
        """See `DataProvider`."""
        return self._own.bundle

    @property
    def files(self) -> FileTree:
        """See `DataProvider`."""
        return self._own.files

    @property
    def made_of(self) -> list[Any]:
        """Everything that determines the results, to compare when a study is resumed."""
        return [self.run]

    def open(self, folder: Path) -> None:
        """See `DataProvider`."""
        self._own.open(folder)


@dataclass(frozen=True)
class AlgorithmClass:
    """An algorithm class that is created with the params and run on the data.

    Args:
        kind: the class, with a method `run(data)` or `__call__(data)`.
    """

    kind: type

    @property
    def __wrapped__(self) -> type:
        """The class, whose source identifies the study's objective."""
        return self.kind

    def __call__(self, params: dict[str, Any], data: Any) -> Any:
        """Returns the algorithm's result."""
        made = self.kind(**params)
        return (made.run if hasattr(made, "run") else made)(data)


def is_trading_algorithm(kind: Any) -> bool:
    """Returns whether this is a subclass of RustyBT's `TradingAlgorithm`, without importing RustyBT."""
    return isinstance(kind, type) and any(
        base.__name__ == "TradingAlgorithm" and base.__module__.partition(".")[0] == "rustybt" for base in kind.__mro__
    )


def to_algorithm(kind: Any, bundle_name: str | None) -> Callable[[dict[str, Any], Any], Any]:
    """Returns a function of params and data that runs an algorithm.

    Args:
        kind: a RustyBT `TradingAlgorithm`; another class, created with the params, with `run(data)` or `__call__(data)`; or a
            function of params and data, such as an adapter's objective.
        bundle_name: the bundle of a `TradingAlgorithm`, ingested by RustyBT.

    Raises:
        ObjectiveError: it is none of these, or RustyBT is not installed.
        BundleNotFoundError: RustyBT has no bundle of this name.
    """
    if is_trading_algorithm(kind):
        if bundle_name is None:
            raise ObjectiveError(
                f"{kind.__name__} is a TradingAlgorithm, which needs `bundle_name`, a bundle that RustyBT has ingested."
            )
        from rbt_ray.adapters import rustybt

        adapted: Callable[[dict[str, Any], Any], Any] = rustybt.objective(kind, bundle=bundle_name)
        return adapted
    if isinstance(kind, type):
        if not hasattr(kind, "run") and not any("__call__" in base.__dict__ for base in kind.__mro__):
            raise ObjectiveError(
                f"`algorithm_class` needs `run(data)` or `__call__(data)`; {kind.__name__} has neither."
            )
        return AlgorithmClass(kind)
    if not callable(kind):
        raise ObjectiveError(f"`algorithm_class` must be a class or a function of (params, data); got {kind!r}.")
    function: Callable[[dict[str, Any], Any], Any] = kind
    return function


def _plain_metrics(answer: Any) -> dict[str, Any]:
    """Returns the numbers, strings and booleans among a backtest's metrics."""
    if callable(getattr(answer, "metrics", None)):
        answer = answer.metrics()
    if not isinstance(answer, Mapping):
        return {}
    inside = answer.get("performance_metrics", answer)
    numbers = {name: float(value) if isinstance(value, Decimal) else value for name, value in inside.items()}
    return {
        name: value
        for name, value in numbers.items()
        if isinstance(name, str)
        and name not in RESULT_COLUMNS
        and not name.startswith("config/")
        and (value is None or isinstance(value, (bool, int, float, str)))
    }
