"""Makes an objective of a function that returns a `bt.Strategy` or a `bt.Backtest`: ``pip install 'rbt-ray[bt]'``."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rbt_ray.adapters import arguments, frames
from rbt_ray.adapters.run import Run
from rbt_ray.errors import ObjectiveResultError
from rbt_ray.objectives.strategy_adapter import StrategyAdapter
from rbt_ray.types import Config

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle
    from rbt_ray.data.view import BundleView


def objective(
    function: Callable[..., Any],
    *,
    initial_capital: float = 1_000_000.0,
    commissions: Callable[[float, float], float] | None = None,
    integer_positions: bool = True,
) -> Bt:
    """Returns an objective that runs the `bt.Strategy` of a function over a study's closes.

    The names of the function's arguments say what it gets: `close`, or any other field, is a frame of that field with a
    column for each symbol; `df` has all fields; `view` is the view that objectives get; all others are params.

    The metrics are rbt_ray's, of the strategy's value on every bar, and bt's `final_value` and `fees`.

    Args:
        function: returns a `bt.Strategy`, or a `bt.Backtest` over the bars it was given, to which the settings below do not
            apply.
        initial_capital: money at the start; this and the following arguments have the names of `bt.Backtest`.
        commissions: a function of (quantity, price).
        integer_positions: whole units only.

    Raises:
        ObjectiveError: `function` cannot be called.
    """
    arguments.check_function(function, "a function of (close, params...) that returns a bt.Strategy")
    return Bt(function, initial_capital, commissions, integer_positions)


@dataclass(frozen=True)
class Bt(StrategyAdapter):
    """See `objective`."""

    initial_capital: float
    commissions: Callable[[float, float], float] | None
    integer_positions: bool

    def __call__(self, params: Config, data: BundleView) -> Run:
        """Runs one config.

        Raises:
            ObjectiveResultError: the function returned another type, or a backtest over other bars.
        """
        import bt

        answer = self.strategy(**arguments.price_arguments(self.strategy, data, None, params), **params)
        if isinstance(answer, bt.Strategy):
            answer = bt.Backtest(
                answer,
                frames.field(data, "close"),
                initial_capital=self.initial_capital,
                commissions=self.commissions,
                integer_positions=self.integer_positions,
                progress_bar=False,
            )
        if not isinstance(answer, bt.Backtest):
            raise ObjectiveResultError(
                f"the function returned a {type(answer).__name__}; return a bt.Strategy or a bt.Backtest."
            )
        answer.run()
        value = np.asarray(
            answer.strategy.values, np.float64
        )  # the first is the capital on the day before the first bar
        if len(value) != data.n_bars + 1:
            raise ObjectiveResultError(
                f"the bt.Backtest is over {len(value) - 1:,} bars; expected the {data.n_bars:,} the function was given."
            )
        figures = {"final_value": float(value[-1]), "fees": float(answer.strategy.fees.sum())}
        return Run.from_value(value[1:], float(value[0]), data.periods_per_year, figures)

    def check(self, names: Collection[str], bundle: Bundle | None) -> None:
        """See `StrategyAdapter`."""
        arguments.check(self.strategy, names, bundle, None)
