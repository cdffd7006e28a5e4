"""The base classes of objectives that kernels score, and of the built-in ones."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast, get_args

import numpy as np

from rbt_ray.errors import InputError, SettingError, ShapeError
from rbt_ray.nearest import nearest
from rbt_ray.simulate.metrics import METRIC_NAMES, why_not_in_a_sweep
from rbt_ray.types import BoolArray, Config, Execution, FloatArray, IntArray, Rebalance, is_real

if TYPE_CHECKING:
    from rbt_ray.data.view import BundleView
    from rbt_ray.objectives.blocks import BlockRequest
    from rbt_ray.objectives.sweep.run import Signals
    from rbt_ray.objectives.sweep.statistics_table import Statistics
    from rbt_ray.simulate.backtest import Backtest
    from rbt_ray.study.windows import Ranges

USUAL = ("sharpe", "total_return", "max_drawdown", "turnover")
"""The metrics computed by default."""
MARGIN = 1e-9
"""The relative margin of comparisons, so that rounding cannot flip a position."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number between two inclusive bounds; `whole` for a number of bars."""

    name: str
    least: float
    most: float = math.inf
    whole: bool = False

    def allows(self, values: FloatArray) -> BoolArray:
        """Returns which values are allowed; NaN and infinity never are."""
        allowed = np.isfinite(values) & (values >= self.least) & (values <= self.most)
        return allowed & (values == np.floor(values)) if self.whole else allowed

    def __str__(self) -> str:
        kind = "a whole number of bars" if self.whole else "a number"
        if self.most < math.inf:
            return f"{kind} from {self.least:g} to {self.most:g}"
        return f"{kind}, at least {self.least:g}" if self.least > -math.inf else kind


def bars(name: str, least: int = 1) -> Parameter:
    """Returns a parameter that is a number of bars."""
    return Parameter(name, least, whole=True)


def check_names(owner: str, parameters: tuple[Parameter, ...], given: Mapping[str, Any]) -> None:
    """Checks that the names are exactly those of the parameters.

    Raises:
        InputError: one is unknown or missing.
    """
    names = [parameter.name for parameter in parameters]
    takes = f"`{owner}` takes {', '.join(f'`{name}`' for name in names)}"
    for name in given:
        if name not in names:
            raise InputError(f"{takes}; got an unknown {name!r}: {nearest(name, names)}")
    for name in names:
        if name not in given:
            raise InputError(f"{takes}; {name!r} is missing: got {', '.join(map(repr, given)) or 'none'}.")


def check_values(owner: str, parameters: tuple[Parameter, ...], columns: Mapping[str, FloatArray]) -> None:
    """Checks that all values in the columns are allowed.

    Raises:
        InputError: a value is out of bounds, or not a whole number where it has to be.
    """
    for parameter in parameters:
        values = columns[parameter.name]
        allowed = parameter.allows(values)
        if not allowed.all():
            raise InputError(f"`{parameter.name}` of `{owner}` is {parameter}; got {values[~allowed][0]:g}.")


def as_columns(owner: str, parameters: tuple[Parameter, ...], config: Config) -> dict[str, FloatArray]:
    """A config as columns of length one, checked.

    Raises:
        InputError: a name or a value is not as it should be.
    """
    check_names(owner, parameters, config)
    for parameter in parameters:
        value = config[parameter.name]
        if not is_real(value):
            raise InputError(f"`{parameter.name}` of `{owner}` is {parameter}; got {value!r}.")
    columns = {parameter.name: np.array([float(config[parameter.name])]) for parameter in parameters}
    check_values(owner, parameters, columns)
    return columns


class SweptObjective(ABC):
    """An objective that kernels score for many configs in one pass over the prices.

    A call with one config and prices returns its backtest. `evaluate` equals the metrics of these backtests up to rounding.
    """

    __slots__ = ()

    execution: Execution | None
    metrics: tuple[str, ...]
    rebalance: Rebalance

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name in messages."""

    @property
    def title(self) -> str:
        """Its name in records."""
        return self.name

    @property
    @abstractmethod
    def parameters(self) -> tuple[Parameter, ...]:
        """Its parameters."""

    @property
    def params(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(parameter.name for parameter in self.parameters)

    def with_metrics(self, names: tuple[str, ...]) -> Self:
        """Returns the same objective with other metrics."""
        return replace(cast("Any", self), metrics=tuple(names))  # type: ignore[no-any-return]

    @abstractmethod
    def with_costs_times(self, factor: float) -> Self:
        """Returns the same objective with its costs multiplied by a factor."""

    def check(self, data: BundleView) -> None:
        """Checks for faults that would fail every trial on this data.

        Raises:
            SettingError: orders are filled at the open, but the data has no opens.
        """
        self.fills(data)

    def fills(self, data: BundleView) -> Execution:
        """Returns when orders on this data are filled.

        Raises:
            SettingError: at the open, but the data has no opens.
        """
        has_open = "open" in data.fields
        if self.execution == "next_open" and not has_open:
            raise SettingError("`execution` is 'next_open', and the bundle has no field \"open\": use 'next_close'.")
        return self.execution or ("next_open" if has_open else "next_close")

    @abstractmethod
    def __call__(self, params: Config, data: BundleView) -> Backtest:
        """Returns the backtest of one config, which defines all figures of `evaluate`.

        Raises:
            InputError: `params` has other names, or a value that is not allowed.
        """

    def evaluate(
        self, data: BundleView, columns: Mapping[str, FloatArray], metrics: tuple[str, ...] | None = None
    ) -> dict[str, FloatArray]:
        """Returns metrics ``(n_configs,)`` by name.

        Args:
            data: prices.
            columns: ``(n_configs,)`` values of each parameter.
            metrics: names of the metrics; None: those of the objective.

        Raises:
            InputError: `columns` has other names, or a value that is not allowed in any of them.
            SettingError: a metric does not exist.
        """
        return self._sweep(data, columns, metrics, None)[0]

    def evaluate_with_blocks(
        self, data: BundleView, columns: Mapping[str, FloatArray], metrics: tuple[str, ...], blocks: BlockRequest
    ) -> tuple[dict[str, FloatArray], FloatArray]:
        """Returns the metrics of `evaluate`, with the same bits, and the requested block sums, a row each.

        Args:
            data: prices.
            columns: ``(n_configs,)`` values of each parameter.
            metrics: names of the metrics.
            blocks: the configs whose block sums are wanted.

        Raises:
            InputError, SettingError: as `evaluate`.
        """
        return self._sweep(data, columns, metrics, blocks)

    def evaluate_on_windows(
        self, data: BundleView, columns: Mapping[str, FloatArray], metrics: tuple[str, ...], windows: Sequence[Ranges]
    ) -> dict[str, FloatArray]:
        """Returns metrics ``(n_windows, n_configs)`` by name, from one pass over the bars up to the last one of all windows.

        They are those of each config's backtest on the bars of each window, `Backtest.on`: indicators and positions come from
        all bars before.

        Args:
            data: prices.
            columns: ``(n_configs,)`` values of each parameter.
            metrics: names of the metrics.
            windows: at least one; ranges of bars of `data`.

        Raises:
            InputError, SettingError: as `evaluate`.
        """
        from rbt_ray.objectives.sweep.windows import sweep_windows

        return sweep_windows(self, data, self._valid(columns, metrics), metrics, windows)

    def _sweep(
        self,
        data: BundleView,
        columns: Mapping[str, FloatArray],
        metrics: tuple[str, ...] | None,
        blocks: BlockRequest | None,
    ) -> tuple[dict[str, FloatArray], FloatArray]:
        from rbt_ray.objectives.sweep.run import sweep

        names = self.metrics if metrics is None else tuple(metrics)
        return sweep(self, data, self._valid(columns, names), names, blocks)

    def _valid(self, columns: Mapping[str, FloatArray], names: tuple[str, ...]) -> dict[str, FloatArray]:
        """Returns the columns of parameters as contiguous floats, if they and the names of the metrics are valid."""
        _check_metrics(names)
        check_names(self.name, self.parameters, columns)
        table = {name: np.ascontiguousarray(columns[name], dtype=np.float64) for name in self.params}
        shapes = {name: values.shape for name, values in table.items()}
        if len(set(shapes.values())) != 1 or len(next(iter(shapes.values()))) != 1:
            raise ShapeError(f"`columns` holds one array of shape (n_configs,) a parameter; got {shapes}.")
        check_values(self.name, self.parameters, table)
        return table

    def order(self, columns: Mapping[str, FloatArray]) -> IntArray:
        """Returns an order of configs in which neighbours share indicators."""
        return np.lexsort([columns[name] for name in reversed(self.params)])

    @abstractmethod
    def at_once(self, data: BundleView, n_configs: int, most: int) -> int:
        """Returns how many configs to process together: a multiple of 8 or all of them, at most `most`."""

    @abstractmethod
    def advance(self, data: BundleView, columns: Mapping[str, FloatArray], statistics: Statistics) -> None:
        """Advances the statistics of configs, sorted by `order`, over all bars.

        Args:
            data: prices.
            columns: ``(n_configs,)`` values of each parameter.
            statistics: those of the configs, of which there are the next multiple of 8.
        """


@dataclass(frozen=True, slots=True)
class Strategy(SweptObjective):
    """A long-or-flat strategy, equal weight `1 / n_symbols` for each symbol it is long.

    Args:
        turnover_bps: cost per unit of turnover, in basis points.
        execution: when orders are filled; None: at the next open if the bundle has opens, else at the next close.
        metrics: the metrics that `evaluate` computes.
        rebalance: ``"every_bar"`` resets weights on every bar, ``"on_change"`` orders when a position changes; see
            `rbt_ray.backtest`.

    Raises:
        SettingError: one of these has a value that is not allowed.
    """

    turnover_bps: float = 5.0
    execution: Execution | None = None
    metrics: tuple[str, ...] = USUAL
    rebalance: Rebalance = "on_change"

    name: ClassVar[str]
    parameters: ClassVar[tuple[Parameter, ...]]
    example: ClassVar[Mapping[str, float]]
    """A typical config."""
    whole_history: ClassVar[bool] = False
    """Whether `signals` writes all tiles at once; otherwise it writes any of them, in any order."""

    def __post_init__(self) -> None:
        bps = self.turnover_bps
        if isinstance(bps, bool) or not isinstance(bps, (int, float)) or not 0 <= bps < math.inf:
            raise SettingError(f"`turnover_bps` is a cost in basis points (5 is 0.05 %), at least 0; got {bps!r}.")
        check_settings(self)

    def with_costs_times(self, factor: float) -> Self:
        """Returns the same objective with its costs multiplied by a factor."""
        return replace(self, turnover_bps=self.turnover_bps * factor)

    def __call__(self, params: Config, data: BundleView) -> Backtest:
        """See `SweptObjective`."""
        from rbt_ray.simulate.backtest import backtest  # here, as they import Numba
        from rbt_ray.simulate.costs import Costs

        columns = as_columns(self.name, self.parameters, params)
        long = self.long({name: float(values[0]) for name, values in columns.items()}, data)
        costs = Costs(turnover_bps=self.turnover_bps)
        return backtest(data, long / data.n_symbols, self.fills(data), self.rebalance, costs, missing="zero")

    def at_once(self, data: BundleView, n_configs: int, most: int) -> int:
        """See `SweptObjective`."""
        from rbt_ray.objectives.sweep.run import sizes

        return sizes(self.whole_history, data, n_configs, most)[0]

    def advance(self, data: BundleView, columns: Mapping[str, FloatArray], statistics: Statistics) -> None:
        """See `SweptObjective`."""
        from rbt_ray.objectives.sweep.run import advance_by_signals

        advance_by_signals(self, data, columns, statistics)

    @abstractmethod
    def warmup(self, params: Config) -> int:
        """Returns the number of bars before the first possible position."""

    @abstractmethod
    def long(self, params: Mapping[str, float], data: BundleView) -> BoolArray:
        """Returns ``(n_bars, n_symbols)`` where this config is long, decided on the close of each bar."""

    @abstractmethod
    def signals(self, data: BundleView, columns: Mapping[str, FloatArray]) -> Signals:
        """Returns a function that writes the positions of many configs as bits, tile by tile."""


def check_settings(objective: SweptObjective) -> None:
    """Checks the settings of all such objectives, and makes `metrics` a tuple.

    Raises:
        SettingError: one has a value that is not allowed.
    """
    if objective.execution is not None and objective.execution not in get_args(Execution):
        allowed = ", ".join(map(repr, get_args(Execution)))
        raise SettingError(f"`execution` is None or one of {allowed}; got {objective.execution!r}.")
    if objective.rebalance not in get_args(Rebalance):
        allowed = ", ".join(map(repr, get_args(Rebalance)))
        raise SettingError(f"`rebalance` is one of {allowed}; got {objective.rebalance!r}.")
    names = objective.metrics
    if isinstance(names, str):
        raise SettingError(f"`metrics` is a sequence of names, such as ({names!r},); got {names!r}.")
    object.__setattr__(objective, "metrics", tuple(names))
    _check_metrics(objective.metrics)


def _check_metrics(names: tuple[str, ...]) -> None:
    for name in names:
        if name not in METRIC_NAMES:
            raise SettingError(why_not_in_a_sweep(name))
