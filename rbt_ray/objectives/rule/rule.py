"""A rule as an objective: its settings, and how a batch of configs is scored."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from rbt_ray.errors import InputError, ObjectiveError, SettingError
from rbt_ray.objectives.builtin.strategy import (
    USUAL,
    Parameter,
    SweptObjective,
    as_columns,
    check_settings,
)
from rbt_ray.objectives.rule.exit_settings import check_exits
from rbt_ray.simulate.costs import BASIS_POINTS, Costs
from rbt_ray.simulate.exit_settings import BOUNDS, EXITS, check_fields
from rbt_ray.types import Config, Execution, FloatArray, Rebalance, is_integer, is_real

if TYPE_CHECKING:
    from rbt_ray.data.view import BundleView
    from rbt_ray.objectives.rule.bar import Names
    from rbt_ray.objectives.rule.indicators import Indicator
    from rbt_ray.objectives.sweep.statistics_table import Statistics
    from rbt_ray.simulate.backtest import Backtest

_MOST_BYTES = 2**28
"""Memory for the indicators of the configs that are processed together."""
_MOST_CONFIGS = 2048


def rule(
    step: Callable[..., Any],
    params: Mapping[str, float],
    indicators: Mapping[str, Indicator] | None = None,
    *,
    state: int = 0,
    costs: Costs | None = None,
    execution: Execution | None = None,
    metrics: tuple[str, ...] = USUAL,
    rebalance: Rebalance = "on_change",
    stop_loss: float | str | None = None,
    take_profit: float | str | None = None,
    trailing_stop: float | str | None = None,
    time_stop: float | str | None = None,
) -> Rule:
    """Returns an objective that runs your rule, compiled by Numba, for many configs in one pass over the prices.

    ```python
    def step(bar, params):
        if bar.strength < params.low:
            return 1.0 / bar.n_symbols
        if bar.strength > params.high or bar.bars_held >= params.days:
            return 0.0
        return bar.target

    objective = rbt.objectives.rule(
        step,
        params={"window": 14, "low": 35.0, "high": 60.0, "days": 20},
        indicators={"strength": lambda data, p: data.ta("RSI", timeperiod=p["window"])},
    )
    ```

    The rule is called for one symbol at a time, since most rules are about one symbol and need no loop then. It is called on the
    close of each bar on which the symbol has a close, and returns the symbol's target weight, a share of the equity.
    A rule that compares symbols gets the comparison, such as a rank, as an indicator.

    Args:
        step: `step(bar, params)`, or `step(bar, params, state)` with `state`; of Numba's subset of Python: numbers, `math`,
            numpy, and functions with the decorator `numba.njit`. Division by zero gives infinity or NaN. `bar` has
            the fields of the bundle (`bar.close`, ...) and the indicators by name, and:

            - `position`: the weight held, at the close; `entry_price`: the average price it was filled at, before costs, NaN if
              nothing is held; `bars_held`: bars since the bar of that fill;
            - `target`: what the rule returned last for this symbol, 0 at first. Return it to leave a target as it is;
            - `equity`: as a multiple of the capital at the start;
            - `symbol`: its column, `n_symbols`, and `number`, that of the bar, all from 0.

            With ``execution="close"`` these are before the fills of the bar, else after them.
        params: names of the parameters, each with a typical value: a whole number for a number of bars, and a float for any
            number. `params.NAME` is a float.
        indicators: functions of `(data, p)` that return ``(n_bars, n_symbols)`` by name; `p["NAME"]` is a parameter. Each is
            computed once on a worker for each set of values that it reads.
        state: how many numbers of its own the rule has for each symbol: `state[0]`, ... are 0 before the first bar, and the rule
            may change them.
        costs: costs of trading and holding; None: 5 basis points on turnover.
        execution: when orders are filled; None: at the next open if the bundle has opens, else at the next close.
        metrics: the metrics that a sweep computes.
        rebalance: ``"every_bar"`` resets weights on every bar, ``"on_change"`` orders when a target changes; see
            `rbt_ray.backtest`.
        stop_loss: closes a position within a bar at this loss from its entry price, such as 0.05; or the name of a parameter, as for
            the next three. Exits need the fields open, high and low, and ``rebalance="on_change"``; module `exits` has the rules.
        take_profit: closes it at this gain.
        trailing_stop: closes it at this loss from its best price since the entry, up to the bar before.
        time_stop: closes it with the order of the bar that is this many bars after its entry.

    Raises:
        ObjectiveError: `step` is not a function of these arguments.
        InputError: a parameter, an indicator or a setting cannot be used.
    """
    return Rule(
        getattr(step, "py_func", step),  # a function that is compiled already
        dict(params),
        {} if indicators is None else dict(indicators),
        state,
        Costs(turnover_bps=5.0) if costs is None else costs,
        execution,
        metrics,
        rebalance,
        {
            name: value
            for name, value in zip(EXITS, (stop_loss, take_profit, trailing_stop, time_stop), strict=True)
            if value is not None
        },
    )


@dataclass(frozen=True, slots=True, eq=False)
class Rule(SweptObjective):
    """See `rule`."""

    step: Callable[..., Any]
    example: Mapping[str, float]
    """A typical config."""
    indicators: Mapping[str, Indicator] = field(default_factory=dict)
    state: int = 0
    costs: Costs = field(default_factory=Costs)
    execution: Execution | None = None
    metrics: tuple[str, ...] = USUAL
    rebalance: Rebalance = "on_change"
    exits: Mapping[str, float | str] = field(default_factory=dict)
    """Those of `EXITS` that are set: a number, or the name of a parameter."""

    def __post_init__(self) -> None:
        check_settings(self)
        if not isinstance(self.costs, Costs):
            raise SettingError(f"`costs` is a Costs, such as Costs(turnover_bps=5); got {self.costs!r}.")
        if not is_integer(self.state) or not 0 <= self.state <= 2**16:
            raise SettingError(f"`state` is how many numbers the rule has for itself, at least 0; got {self.state!r}.")
        if not inspect.isfunction(self.step):
            raise ObjectiveError(f"`step` is a function of (bar, params); got {self.step!r}.")
        wanted = ("bar", "params", "state") if self.state else ("bar", "params")
        taken = inspect.signature(self.step).parameters.values()
        if len(taken) != len(wanted) or any(
            one.kind not in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in taken
        ):
            raise ObjectiveError(
                f"`step` is a function of ({', '.join(wanted)}){'' if self.state else ', or of (bar, params, state) with `state=1` or more'}; "
                f"got {self.step.__name__}{inspect.signature(self.step)}."
            )
        if not self.example:
            raise InputError("`params` is empty: a rule has at least one parameter, such as params={'window': 20}.")
        for name, value in self.example.items():
            if not is_real(value) or not math.isfinite(value):
                raise InputError(
                    f"`params` has a typical value for each name, a finite number; got {value!r} for {name!r}."
                )
        for name, indicator in self.indicators.items():
            if not callable(indicator):
                raise InputError(f"the indicator {name!r} is a function of (data, p); got {indicator!r}.")
        for names in (self.example, self.indicators):
            for name in names:
                if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
                    raise InputError(
                        f"a rule reads `bar.NAME` and `params.NAME`, so names are identifiers; got {name!r}."
                    )
        check_exits(self.exits, self.example, self.rebalance)

    @property
    def name(self) -> str:
        """The name of the function."""
        return self.step.__name__

    @property
    def title(self) -> str:
        """Its name in records, which no import finds."""
        return f"rule({self.name})"

    @property
    def made_of(self) -> list[Any]:
        """Its identity in source fingerprints: the functions and the settings."""
        settings = (self.example, self.state, self.costs, self.execution, self.metrics, self.rebalance, self.exits)
        return [self.step, *self.indicators.values(), list(self.indicators), *map(repr, settings)]

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Its parameters: whole numbers if the typical value is one."""
        bounds = {given: BOUNDS[name] for name, given in self.exits.items() if isinstance(given, str)}
        return tuple(
            Parameter(name, *bounds.get(name, (-math.inf, math.inf)), whole=is_integer(value))
            for name, value in self.example.items()
        )

    def with_costs_times(self, factor: float) -> Self:
        """Returns the same objective with its costs multiplied by a factor."""
        return replace(self, costs=self.costs.times(factor))

    def check(self, data: BundleView) -> None:
        """Checks the settings on this data, and compiles the rule.

        Raises:
            RuleError: Numba cannot compile it.
            InputError: a setting does not fit the data.
        """
        from rbt_ray.objectives.rule.kernels import kernel_of  # here, as it imports Numba

        self.fills(data)
        self.costs.turnover_rates(data.symbols)
        if self.exits:
            check_fields(next(iter(self.exits)), data.fields)
        kernel_of(self.step, self.names(data), self.rebalance, False, bool(self.exits))

    def names(self, data: BundleView) -> Names:
        """Returns the names of what the rule gets on this data.

        Raises:
            InputError: an indicator has the name of something else.
        """
        from rbt_ray.objectives.rule.bar import ACCOUNT, Names

        fields = tuple(name for name in data.fields if name.isidentifier() and not name.startswith("_"))
        for name in self.indicators:
            if name in fields or name in ACCOUNT:
                raise InputError(f"an indicator is named {name!r}, which a bar has already: give it another name.")
        fields = tuple(name for name in fields if name not in ACCOUNT)
        return Names(fields, tuple(self.indicators), self.params, int(self.state))

    def __call__(self, params: Config, data: BundleView) -> Backtest:
        """See `SweptObjective`."""
        from rbt_ray.objectives.rule.run import backtest_of  # here, as it imports Numba

        return backtest_of(self, data, as_columns(self.name, self.parameters, params))

    def at_once(self, data: BundleView, n_configs: int, most: int) -> int:
        """See `SweptObjective`."""
        each = max(1, len(self.indicators)) * data.n_bars * data.n_symbols * 8
        return max(8, min(n_configs, most, _MOST_CONFIGS, _MOST_BYTES // each) // 8 * 8)

    def advance(self, data: BundleView, columns: Mapping[str, FloatArray], statistics: Statistics) -> None:
        """See `SweptObjective`."""
        from rbt_ray.objectives.rule.run import advance

        advance(self, data, columns, statistics, np.empty(0))

    def rates(self, data: BundleView) -> tuple[FloatArray, float, float, float]:
        """Returns the costs as fractions: turnover of each symbol ``(n_symbols,)``, slippage, borrow and margin per bar."""
        costs = self.costs
        return (
            costs.turnover_rates(data.symbols),
            costs.slippage_bps / BASIS_POINTS,
            costs.borrow_bps / BASIS_POINTS / data.periods_per_year,
            costs.margin_bps / BASIS_POINTS / data.periods_per_year,
        )
