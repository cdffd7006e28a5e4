"""Built-in strategies with exits: a rule whose target is that of the strategy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rbt_ray.errors import ObjectiveError, SettingError
from rbt_ray.objectives.builtin.strategy import Parameter, Strategy
from rbt_ray.objectives.rule.rule import Rule
from rbt_ray.simulate.costs import Costs
from rbt_ray.simulate.exit_settings import BOUNDS, EXITS
from rbt_ray.types import FloatArray

if TYPE_CHECKING:
    from rbt_ray.data.view import BundleView
    from rbt_ray.objectives.rule.bar import Names

_WEIGHT = "weight_of_strategy"
_TYPICAL = {"stop_loss": 0.1, "take_profit": 0.2, "trailing_stop": 0.1, "time_stop": 20}


def with_exits(
    strategy: Strategy,
    *,
    stop_loss: float | str | None = None,
    take_profit: float | str | None = None,
    trailing_stop: float | str | None = None,
    time_stop: float | str | None = None,
) -> StrategyWithExits:
    """Returns a built-in strategy whose positions are also closed by stops, profits and time limits.

    ```python
    objective = rbt.objectives.with_exits(rbt.objectives.sma_cross(), stop_loss="stop_loss", take_profit=0.2)
    space = {"fast": rbt.randint(5, 50), "slow": rbt.randint(50, 200), "stop_loss": rbt.quniform(0.01, 0.2, 0.01)}
    ```

    Each setting is a number, or the name of a parameter that it adds to those of the strategy, so that a study can search it. The
    data needs the fields open, high and low. After an exit, a symbol stays flat until its target is 0.

    Args:
        strategy: a built-in objective with ``rebalance="on_change"``.
        stop_loss: closes a position that lost this share of its entry price, such as 0.05, on the bar that touches the level.
        take_profit: the same for a gain.
        trailing_stop: the same for a loss from the best price since the entry, up to the bar before.
        time_stop: closes it with the order of the bar that is this many bars after its entry.

    Raises:
        ObjectiveError: `strategy` is not a built-in objective.
        SettingError: no exit is set, or one cannot be used.
    """
    if not isinstance(strategy, Strategy):
        raise ObjectiveError(
            f"`strategy` is a built-in objective, such as rbt.objectives.sma_cross(); got {strategy!r}. "
            "A rule takes exits itself: rbt.objectives.rule(step, params, stop_loss=0.05)."
        )
    given = zip(EXITS, (stop_loss, take_profit, trailing_stop, time_stop), strict=True)
    exits = {name: value for name, value in given if value is not None}
    if not exits:
        raise SettingError(f"`with_exits` takes at least one of {', '.join(EXITS)}; got none.")
    names = [value for value in exits.values() if isinstance(value, str)]
    for name in names:
        if name in strategy.params or names.count(name) > 1:
            raise SettingError(f"an exit names a parameter of its own; got {name!r}, which is another parameter.")
    added = {value: _TYPICAL[name] for name, value in exits.items() if isinstance(value, str)}
    return StrategyWithExits(
        _step,
        {**strategy.example, **added},
        {_WEIGHT: _Weight(strategy)},
        0,
        Costs(turnover_bps=strategy.turnover_bps),
        strategy.execution,
        strategy.metrics,
        strategy.rebalance,
        exits,
        strategy=strategy,
    )


@dataclass(frozen=True, slots=True, eq=False)
class StrategyWithExits(Rule):
    """See `with_exits`."""

    strategy: Strategy = field(kw_only=True)

    @property
    def name(self) -> str:
        """The name of the strategy."""
        return self.strategy.name

    @property
    def title(self) -> str:
        """Its name in records, which no import finds."""
        return f"with_exits({self.name})"

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Those of the strategy, then those of exits."""
        return self.strategy.parameters + tuple(
            Parameter(given, *BOUNDS[name], whole=name == "time_stop")
            for name, given in self.exits.items()
            if isinstance(given, str)
        )

    def names(self, data: BundleView) -> Names:  # noqa: ARG002
        """Returns what `_step` reads, so that all strategies share one kernel."""
        return _names()


@dataclass(frozen=True, slots=True)
class _Weight:
    """The indicator of target weights, ``(n_bars, n_symbols)``, each decided on the close of its bar."""

    strategy: Strategy

    @property
    def made_of(self) -> list[Any]:
        """Its identity in source fingerprints."""
        return [repr(self.strategy)]

    def __call__(self, data: BundleView, p: Mapping[str, Any]) -> FloatArray:
        weights: FloatArray = self.strategy.long(p, data) / data.n_symbols
        return weights


def kernel(segmented: bool) -> Callable[..., None]:
    """Returns the kernel of all strategies with exits, for one segment or for several."""
    from rbt_ray.objectives.rule.kernels import kernel_of  # here, as it imports Numba

    return kernel_of(_step, _names(), "on_change", segmented, True)


def _names() -> Names:
    from rbt_ray.objectives.rule.bar import Names  # here, as it imports Numba

    return Names((), (_WEIGHT,), ("unread",), 0)  # a rule has at least one parameter


def _step(bar: Any, params: Any) -> Any:  # noqa: ARG001
    return bar.weight_of_strategy
