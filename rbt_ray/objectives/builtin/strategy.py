"""What the built-in objectives have in common."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self, get_args

import numpy as np

from rbt_ray.errors import SettingError, ShapeError
from rbt_ray.nearest import nearest
from rbt_ray.objectives.builtin.parameters import Parameter, as_columns, check_names, check_values
from rbt_ray.types import BoolArray, Config, Execution, FloatArray, IntArray, Rebalance

if TYPE_CHECKING:
    from rbt_ray.data.view import BundleView
    from rbt_ray.objectives.sweep.run import Signals
    from rbt_ray.simulate.backtest import Backtest

METRICS = (
    "total_return", "cagr", "volatility", "sharpe", "sortino", "max_drawdown", "calmar", "turnover", "exposure",
    "n_fills", "n_trades", "skew", "kurtosis",
)  # fmt: skip
"""The metrics there are, as `rbt_ray.simulate.metrics` defines them."""
USUAL = ("sharpe", "total_return", "max_drawdown", "turnover")
"""Those computed unless others are asked for."""
MARGIN = 1e-9
"""By how much, relatively, one number has to be above another to count: rounding cannot flip a position."""


@dataclass(frozen=True, slots=True)
class Strategy(ABC):
    """A long-or-flat strategy, equal weight `1 / n_symbols` for each symbol it is long.

    Called with one config and prices it is that config's backtest; `evaluate` scores many configs in one pass over
    the prices, and equals the metrics of their backtests up to rounding.

    Args:
        turnover_bps: cost of a unit of turnover in basis points.
        execution: when decisions are filled; None: at the next open where the bundle has opens, else the next close.
        metrics: what `evaluate` is to compute.
        rebalance: ``"every_bar"`` resets weights on every bar, ``"on_change"`` orders where a position changes; see
            `rbt_ray.backtest`.

    Raises:
        SettingError: one of these is not what it may be.
    """

    turnover_bps: float = 5.0
    execution: Execution | None = None
    metrics: tuple[str, ...] = USUAL
    rebalance: Rebalance = "on_change"

    name: ClassVar[str]
    parameters: ClassVar[tuple[Parameter, ...]]
    example: ClassVar[Mapping[str, float]]
    """A config in the middle of what makes sense."""
    whole_history: ClassVar[bool] = False
    """Whether `signals` writes all tiles at once; else any of them, in any order."""

    def __post_init__(self) -> None:
        bps, executions = self.turnover_bps, get_args(Execution)
        if isinstance(bps, bool) or not isinstance(bps, (int, float)) or not 0 <= bps < math.inf:
            raise SettingError(f"`turnover_bps` is a cost in basis points (5 is 0.05 %), at least 0; got {bps!r}.")
        if self.execution is not None and self.execution not in executions:
            allowed = ", ".join(map(repr, executions))
            raise SettingError(f"`execution` is None or one of {allowed}; got {self.execution!r}.")
        if self.rebalance not in get_args(Rebalance):
            allowed = ", ".join(map(repr, get_args(Rebalance)))
            raise SettingError(f"`rebalance` is one of {allowed}; got {self.rebalance!r}.")
        if isinstance(self.metrics, str):
            raise SettingError(f"`metrics` is a sequence of names, such as ({self.metrics!r},); got {self.metrics!r}.")
        object.__setattr__(self, "metrics", tuple(self.metrics))
        _check_metrics(self.metrics)

    @property
    def params(self) -> tuple[str, ...]:
        """The names of the parameters."""
        return tuple(parameter.name for parameter in self.parameters)

    def with_metrics(self, names: tuple[str, ...]) -> Self:
        """The same objective, computing other metrics."""
        return replace(self, metrics=tuple(names))

    def fills(self, data: BundleView) -> Execution:
        """When decisions on this data are filled.

        Raises:
            SettingError: at the open, but the data has none.
        """
        has_open = "open" in data.fields
        if self.execution == "next_open" and not has_open:
            raise SettingError("`execution` is 'next_open', and the bundle has no field \"open\": use 'next_close'.")
        return self.execution or ("next_open" if has_open else "next_close")

    def __call__(self, params: Config, data: BundleView) -> Backtest:
        """The backtest of one config: what every figure of `evaluate` is defined by.

        Raises:
            InputError: `params` has other names, or a value that is not allowed.
        """
        from rbt_ray.simulate.backtest import backtest  # here, as they bring Numba
        from rbt_ray.simulate.costs import Costs

        columns = as_columns(self.name, self.parameters, params)
        long = self.long({name: float(values[0]) for name, values in columns.items()}, data)
        costs = Costs(turnover_bps=self.turnover_bps)
        return backtest(data, long / data.n_symbols, self.fills(data), self.rebalance, costs, missing="zero")

    def evaluate(
        self, data: BundleView, columns: Mapping[str, FloatArray], metrics: tuple[str, ...] | None = None
    ) -> dict[str, FloatArray]:
        """Metrics ``(n_configs,)`` by name.

        Args:
            data: the prices.
            columns: ``(n_configs,)`` values of each parameter.
            metrics: the names wanted; None for those the objective was made with.

        Raises:
            InputError: `columns` has other names, or a value that is not allowed in any of them.
            SettingError: a metric that does not exist.
        """
        from rbt_ray.objectives.sweep.run import sweep

        names = self.metrics if metrics is None else tuple(metrics)
        _check_metrics(names)
        check_names(self.name, self.parameters, columns)
        table = {name: np.ascontiguousarray(columns[name], dtype=np.float64) for name in self.params}
        shapes = {name: values.shape for name, values in table.items()}
        if len(set(shapes.values())) != 1 or len(next(iter(shapes.values()))) != 1:
            raise ShapeError(f"`columns` holds one array of shape (n_configs,) a parameter; got {shapes}.")
        check_values(self.name, self.parameters, table)
        return sweep(self, data, table, names)

    def order(self, columns: Mapping[str, FloatArray]) -> IntArray:
        """An order of configs in which neighbours share indicators."""
        return np.lexsort([columns[name] for name in reversed(self.params)])

    @abstractmethod
    def warmup(self, params: Config) -> int:
        """Bars before the first decision can be anything but flat."""

    @abstractmethod
    def long(self, params: Mapping[str, float], data: BundleView) -> BoolArray:
        """``(n_bars, n_symbols)`` where this config is long, decided on each bar's close."""

    @abstractmethod
    def signals(self, data: BundleView, columns: Mapping[str, FloatArray]) -> Signals:
        """What writes the same for many configs as bits, tile by tile."""


def _check_metrics(names: tuple[str, ...]) -> None:
    for name in names:
        if name not in METRICS:
            raise SettingError(f"there is no metric {name!r}; {nearest(name, METRICS)}")
