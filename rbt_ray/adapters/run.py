"""Calls another backtester's strategy with a trial's prices, and holds the run that it returns."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rbt_ray.adapters import frames
from rbt_ray.errors import ObjectiveError, ObjectiveResultError
from rbt_ray.simulate.metrics import METRICS
from rbt_ray.types import FloatArray, Metrics

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle
    from rbt_ray.data.view import BundleView

_OF_TRADES = frozenset(metric.name for metric in METRICS if metric.needs_trades)
TABLE, VIEW = "df", "view"
_TAKEN = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A run of a strategy by another backtester.

    Args:
        returns: ``(n_bars,)`` simple returns per bar after costs; 0.01 is one percent.
        periods_per_year: bars in a year, to annualise metrics.
        figures: the backtester's own figures, by snake-case names.
    """

    returns: FloatArray
    periods_per_year: float
    figures: Metrics

    @classmethod
    def from_value(cls, value: FloatArray, start: float, periods_per_year: float, figures: Metrics) -> Run:
        """Makes a run of an account's ``value (n_bars,)`` at each bar's close and its value `start` before the first bar.

        An account that falls to 0 or below returns -1 on that bar and 0 after it.
        """
        before = np.concatenate([[start], value[:-1]])
        ruined = np.minimum.accumulate(before) <= 0
        with np.errstate(divide="ignore", invalid="ignore"):
            returns: FloatArray = np.where(ruined, 0.0, np.maximum(value, 0.0) / before - 1.0)
        return cls(returns, periods_per_year, figures)

    @property
    def equity(self) -> FloatArray:
        """``(n_bars,)`` the value on each bar of 1 at the start."""
        equity: FloatArray = np.cumprod(1.0 + self.returns, dtype=np.float64)
        return equity

    def metrics(self) -> Metrics:
        """Returns rbt_ray's metrics of the returns (module `simulate.metrics`) and the backtester's own figures.

        Turnover, exposure, fills and round trips cannot be computed from returns and are left out.

        Raises:
            ObjectiveResultError: a return is not finite.
        """
        from rbt_ray.simulate.metric_kernel import metrics_of  # here, as it brings Numba

        missing = np.flatnonzero(~np.isfinite(self.returns))
        if len(missing):
            raise ObjectiveResultError(
                f"the backtest's value is not a number on {len(missing)} of {len(self.returns)} bars, first on bar "
                f"{missing[0]}. A symbol has no prices before it is listed: leave it out until then."
            )
        none, zero = np.zeros(len(self.returns)), np.zeros(len(self.returns), np.int64)
        returns = np.ascontiguousarray(self.returns, np.float64)
        ours = metrics_of(returns, none, none, zero, zero, self.periods_per_year)
        return {name: value for name, value in ours.items() if name not in _OF_TRADES} | self.figures


def price_arguments(
    function: Callable[..., Any], view: BundleView, symbol: str | None, names: Collection[str]
) -> dict[str, Any]:
    """Returns the prices that `function` takes, by argument.

    An argument with the name of a field gets that field, `df` gets all fields, `view` the view itself. With a `symbol`,
    fields are series and `df` has a column for each field. Without one, fields have a column for each symbol and `df` for
    each (field, symbol).

    Args:
        function: the user's function.
        view: the trial's prices.
        symbol: the symbol to use; None: all.
        names: of the parameters, which take precedence over prices of the same name.
    """
    wanted = [name for name in _arguments(function) if name not in names]
    given: dict[str, Any] = {}
    for name in wanted:
        if name in view.fields:
            given[name] = frames.field(view, name, symbol)
        elif name == TABLE:
            given[name] = frames.table(view, symbol)
        elif name == VIEW:
            given[name] = view
    return given


def check(function: Any, names: Collection[str], bundle: Bundle | None, symbol: str | None) -> None:
    """Refuse a function that cannot be called with prices and these parameters.

    Raises:
        ObjectiveError: an argument is neither a parameter nor prices, the function lacks an argument for a parameter, or
            there are no prices.
    """
    frames.check_symbol(symbol, bundle)
    assert bundle is not None
    arguments = _arguments(function)
    shown = f"{getattr(function, '__name__', function)}{inspect.signature(function)}"
    for name, argument in arguments.items():
        known = name in names or name in bundle.fields or name in (TABLE, VIEW)
        if not known and argument.default is inspect.Parameter.empty:
            raise ObjectiveError(
                f"`{shown}`: the argument `{name}` is neither a parameter of the space nor prices. Prices are called "
                f"{', '.join(bundle.fields)} (a field), `{TABLE}` (all fields) or `{VIEW}` (the bundle's view)."
            )
    takes_any = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values())
    spare = [] if takes_any else sorted(set(names) - set(arguments))
    if spare:
        raise ObjectiveError(
            f"`{shown}` has no argument `{spare[0]}`, which is a parameter of the space. Add the argument, or remove the parameter."
        )


def check_function(function: Any, what: str) -> None:
    """Refuse an object that cannot be called.

    Raises:
        ObjectiveError: `function` is not callable.
    """
    if not callable(function):
        raise ObjectiveError(f"`function` is {what}; got {function!r} of type {type(function).__name__}.")


def _arguments(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return {name: p for name, p in inspect.signature(function).parameters.items() if p.kind in _TAKEN}
