"""A plain pandas function as an objective: it returns returns, an account's equity, weights, or positions."""

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
    """The objective that scores what a function of frames returns.

    The function's arguments are known by their names: `df` is all fields, a column each with a `symbol`, else a column a
    (field, symbol), so that ``df["close"]`` is the closes either way; `close`, or any other field, is that field alone;
    `view` is the view an objective gets; all others are params.

    Args:
        function: the user's own.
        gives: what it returns, by bar: ``"returns"``, a series of simple returns after costs; ``"equity"``, a series of
            what the account is worth; ``"weights"``, shares of the equity, a column a symbol, decided on that bar's
            close; ``"positions"``, 1 long, 0 flat or -1 short, of which each symbol has an equal share of the equity.
            The last two are run by `rbt.backtest`, and hold nothing on bars that are left out or NaN; of returns and
            equity only bars before the first value may be.
        symbol: the one it trades; None: all.
        costs: of weights and positions, as in `rbt.backtest`.
        execution: of weights and positions, as in `rbt.backtest`.

    Raises:
        ObjectiveError: `function` cannot be called.
        SettingError: `gives` is none of these, or costs are given for returns, which are after costs.
    """
    arguments.check_function(function, "a function of (df, params...)")
    if gives not in get_args(Gives):
        raise SettingError(f"`gives` is one of {', '.join(map(repr, get_args(Gives)))}; got {gives!r}.")
    if gives in ("returns", "equity") and (costs != Costs() or execution is not None):
        raise SettingError(
            f"`costs` and `execution` are for weights and positions; {gives!r} are after costs as the function gives them."
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
        """The run of one config.

        Raises:
            ObjectiveResultError: the function returned something other than `gives` says.
        """
        answer = self.strategy(**arguments.price_arguments(self.strategy, data, self.symbol, params), **params)
        if self.gives == "equity":
            value = self._series(answer, data)
            start = value[~np.isnan(value)][:1]
            return Run.from_value(np.where(np.isnan(value), start, value), float(start[0]), data.periods_per_year, {})
        if self.gives == "returns":
            return Run(np.nan_to_num(self._series(answer, data)), data.periods_per_year, {})
        from rbt_ray.simulate.backtest import backtest  # here, as it brings Numba

        weights = self._weights(answer, data)
        if self.gives == "positions":
            weights = weights / (1 if self.symbol is not None else data.n_symbols)
        return backtest(data, weights, self.execution, costs=self.costs, missing="zero")

    def check(self, names: Collection[str], bundle: Bundle | None) -> None:
        """See `StrategyAdapter`."""
        arguments.check(self.strategy, names, bundle, self.symbol)

    def _series(self, answer: Any, data: BundleView) -> FloatArray:
        """``(n_bars,)``; NaN on the bars before the first value, and nowhere else."""
        if not isinstance(answer, pd.Series):
            raise ObjectiveResultError(f"the function returned a {type(answer).__name__}; `gives` says a series.")
        values: FloatArray = _on_bars(answer, data).to_numpy(np.float64)
        known = np.flatnonzero(~np.isnan(values))
        if not len(known) or np.isnan(values[known[0] :]).any():
            bar = known[0] + int(np.argmax(np.isnan(values[known[0] :]))) if len(known) else 0
            raise ObjectiveResultError(
                f"the function's {self.gives} have no value on {frames.index_of(data)[bar]} (bar {bar}), after the first "
                "that has one. Fill them: nothing held is 0 in returns, and the value before in equity."
            )
        return values

    def _weights(self, answer: Any, data: BundleView) -> FloatArray:
        """``(n_bars, n_symbols)``; 0 where the function gave none."""
        symbols = list(data.symbols)
        if isinstance(answer, pd.Series) and len(own := [self.symbol] if self.symbol else symbols) == 1:
            answer = answer.to_frame(own[0])
        if not isinstance(answer, pd.DataFrame) or not set(answer.columns) <= set(symbols):
            what = f"columns {', '.join(map(str, answer.columns))}" if isinstance(answer, pd.DataFrame) else "no frame"
            raise ObjectiveResultError(
                f"the function returned {what}; `gives` says {self.gives}, so a frame with columns among "
                f"{', '.join(symbols)}, or a series where there is one symbol."
            )
        weights: FloatArray = _on_bars(answer, data).reindex(columns=symbols).fillna(0.0).to_numpy(np.float64)
        return weights


def _on_bars(answer: Any, data: BundleView) -> Any:
    """The series or frame on every bar of the view.

    Raises:
        ObjectiveResultError: it has bars that the view has not.
    """
    index = frames.index_of(data)
    if answer.index.equals(index):
        return answer
    if answer.index.has_duplicates or not answer.index.isin(index).all():
        raise ObjectiveResultError(
            "the function returned other bars than it was given: keep the index of the prices, whose bars may be left out "
            "but not made up or repeated."
        )
    return answer.reindex(index)
