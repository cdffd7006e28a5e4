"""Makes an objective of a pandas function that returns returns, an account's equity, weights or positions."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd

from rbt_ray.adapters import arguments, frames
from rbt_ray.adapters.run import Run
from rbt_ray.errors import ObjectiveResultError, SettingError
from rbt_ray.objectives.strategy_adapter import StrategyAdapter
from rbt_ray.simulate.costs import Costs
from rbt_ray.types import Config, Execution, FloatArray

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle
    from rbt_ray.data.view import BundleView

Gives = Literal["returns", "equity", "weights", "positions"]


def objective(
    function: Callable[..., Any],
    *,
    gives: Gives,
    symbol: str | None = None,
    costs: Costs = Costs(),  # noqa: B008 (frozen)
    execution: Execution | None = None,
) -> Pandas:
    """Returns an objective that scores the result of a function of frames.

    The names of the function's arguments say what it gets: `df` has all fields, with a `symbol` a column for each, else a
    column for each (field, symbol), so that ``df["close"]`` has the closes in both cases; `close`, or any other field, is
    that field; `view` is the view that objectives get; all others are params.

    Args:
        function: the user's function.
        gives: what it returns for each bar: ``"returns"``, a series of simple returns after costs; ``"equity"``, a series of
            the account's value; ``"weights"``, shares of the equity, a column for each symbol, decided on that bar's close;
            ``"positions"``, 1 long, 0 flat or -1 short, an equal share of the equity for each symbol. `rbt.backtest` runs
            weights and positions, which are 0 on bars that are missing or NaN. Returns and equity may be missing only
            before their first value.
        symbol: the symbol to trade; None: all.
        costs: of weights and positions, as in `rbt.backtest`.
        execution: of weights and positions, as in `rbt.backtest`.

    Raises:
        ObjectiveError: `function` cannot be called.
        SettingError: `gives` has another value, or returns or equity, which are after costs, have `costs` or `execution`.
    """
    arguments.check_function(function, "a function of (df, params...)")
    if gives not in get_args(Gives):
        raise SettingError(f"`gives` is one of {', '.join(map(repr, get_args(Gives)))}; got {gives!r}.")
    if gives in ("returns", "equity") and (costs != Costs() or execution is not None):
        raise SettingError(
            f"`costs` and `execution` are for weights and positions; {gives!r} are after costs. Remove these arguments."
        )
    return Pandas(function, gives, symbol, costs, execution)


@dataclass(frozen=True)
class Pandas(StrategyAdapter):
    """See `objective`."""

    gives: Gives
    symbol: str | None
    costs: Costs
    execution: Execution | None

    def __call__(self, params: Config, data: BundleView) -> Any:
        """Runs one config.

        Raises:
            ObjectiveResultError: the function did not return what `gives` says.
        """
        answer = self.strategy(**arguments.price_arguments(self.strategy, data, self.symbol, params), **params)
        if self.gives == "equity":
            value = self._series(answer, data)
            start = value[~np.isnan(value)][:1]
            return Run.from_value(np.where(np.isnan(value), start, value), float(start[0]), data.periods_per_year, {})
        if self.gives == "returns":
            return Run(np.nan_to_num(self._series(answer, data)), data.periods_per_year, {})
        from rbt_ray.simulate.backtest import backtest  # imports Numba

        weights = self._weights(answer, data)
        if self.gives == "positions":
            weights = weights / (1 if self.symbol is not None else data.n_symbols)
        return backtest(data, weights, self.execution, costs=self.costs, missing="zero")

    def check(self, names: Collection[str], bundle: Bundle | None) -> None:
        """See `StrategyAdapter`."""
        arguments.check(self.strategy, names, bundle, self.symbol)

    def _series(self, answer: Any, data: BundleView) -> FloatArray:
        """Returns ``(n_bars,)`` values, NaN only before the first value."""
        if not isinstance(answer, pd.Series):
            raise ObjectiveResultError(f"the function returned a {type(answer).__name__}; `gives` says a series.")
        values: FloatArray = _on_bars(answer, data).to_numpy(np.float64)
        known = np.flatnonzero(~np.isnan(values))
        if not len(known) or np.isnan(values[known[0] :]).any():
            bar = known[0] + int(np.argmax(np.isnan(values[known[0] :]))) if len(known) else 0
            raise ObjectiveResultError(
                f"the function's {self.gives} have no value on {frames.index_of(data)[bar]} (bar {bar}), after the first "
                "value. Fill them: without holdings a return is 0, and equity keeps its last value."
            )
        return values

    def _weights(self, answer: Any, data: BundleView) -> FloatArray:
        """Returns ``(n_bars, n_symbols)`` weights, 0 where the function returned none."""
        symbols = list(data.symbols)
        if isinstance(answer, pd.Series) and len(own := [self.symbol] if self.symbol else symbols) == 1:
            answer = answer.to_frame(own[0])
        if not isinstance(answer, pd.DataFrame) or not set(answer.columns) <= set(symbols):
            what = f"columns {', '.join(map(str, answer.columns))}" if isinstance(answer, pd.DataFrame) else "no frame"
            raise ObjectiveResultError(
                f"the function returned {what}; `gives` says {self.gives}: return a frame with columns among "
                f"{', '.join(symbols)}, or a series if there is one symbol."
            )
        weights: FloatArray = _on_bars(answer, data).reindex(columns=symbols).fillna(0.0).to_numpy(np.float64)
        return weights


def _on_bars(answer: Any, data: BundleView) -> Any:
    """Returns the series or frame with every bar of the view.

    Raises:
        ObjectiveResultError: it has bars that the view lacks.
    """
    index = frames.index_of(data)
    if answer.index.equals(index):
        return answer
    if answer.index.has_duplicates or not answer.index.isin(index).all():
        raise ObjectiveResultError(
            "the function returned other bars than it was given: use the index of the prices. Bars can be left out, but not "
            "added or repeated."
        )
    return answer.reindex(index)
