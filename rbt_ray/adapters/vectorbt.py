"""Makes an objective of a function that returns a vectorbt `Portfolio`, of one config or of many.

vectorbt is licensed under Apache 2.0 with the Commons Clause and is not part of rbt_ray:
``pip install 'rbt-ray[vectorbt]'``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rbt_ray.adapters import arguments
from rbt_ray.adapters.run import Run
from rbt_ray.errors import ObjectiveResultError
from rbt_ray.objectives.kind import batched as takes_many
from rbt_ray.objectives.strategy_adapter import StrategyAdapter
from rbt_ray.types import Config

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle
    from rbt_ray.data.view import BundleView


def objective(function: Callable[..., Any], *, symbol: str | None = None, batched: bool = False) -> Vectorbt:
    """Returns an objective that scores the `Portfolio` of a function.

    The names of the function's arguments say what it gets: `close`, or any other field, is a frame of that field with a
    column for each symbol; `df` has all fields; `view` is the view that objectives get; all others are params.

    The metrics are rbt_ray's, of the portfolio's value on every bar, and the portfolio's `final_value`, `n_trades` and
    `n_orders`. Sharpe ratios use the bundle's bars in a year, where vectorbt uses 365 days. Several columns or groups of one
    config are separate accounts, which are summed. A function may return a dict of metrics instead.

    Args:
        function: the user's function.
        symbol: the symbol whose prices it gets, as series; None: all symbols, as frames.
        batched: whether each param is an array ``(n_configs,)`` and the portfolio has a column or group for each config, or
            for each (config, symbol), with the symbols of a config in adjacent columns, as in vectorbt's indicators.

    Raises:
        ObjectiveError: `function` cannot be called.
    """
    arguments.check_function(function, "a function of (close, params...) that returns a vectorbt Portfolio")
    return (VectorbtBatch if batched else Vectorbt)(function, symbol)


@dataclass(frozen=True)
class Vectorbt(StrategyAdapter):
    """See `objective`."""

    symbol: str | None

    def __call__(self, params: Any, data: BundleView) -> Any:
        """Runs one config; returns the function's result as it is if it is not a portfolio."""
        prices = arguments.price_arguments(self.strategy, data, self.symbol, params)
        answer = self.strategy(**prices, **params)
        return _runs(answer, data, 1)[0] if _is_portfolio(answer) else answer

    def check(self, names: Collection[str], bundle: Bundle | None) -> None:
        """See `StrategyAdapter`."""
        arguments.check(self.strategy, names, bundle, self.symbol)


@takes_many
@dataclass(frozen=True)
class VectorbtBatch(Vectorbt):
    """Many configs in one portfolio."""

    def __call__(self, params: Sequence[Config], data: BundleView) -> Any:
        """Runs all configs; returns their runs in the order of the configs."""
        columns = {name: np.array([config[name] for config in params]) for name in params[0]}
        prices = arguments.price_arguments(self.strategy, data, self.symbol, columns)
        answer = self.strategy(**prices, **columns)
        return _runs(answer, data, len(params)) if _is_portfolio(answer) else answer


def _is_portfolio(answer: Any) -> bool:
    from vectorbt.portfolio.base import Portfolio

    return isinstance(answer, Portfolio)


def _runs(portfolio: Any, data: BundleView, n_configs: int) -> list[Run]:
    """Returns the run of each config.

    Raises:
        ObjectiveResultError: the portfolio has other bars than the view, or its columns cannot be divided among the configs.
    """
    value = np.asarray(portfolio.value(), np.float64)
    value = value.reshape(len(value), -1)
    n_bars, n_columns = value.shape
    if n_bars != data.n_bars or n_columns % n_configs:
        raise ObjectiveResultError(
            f"the portfolio has {n_bars:,} bars and {n_columns} columns or groups; expected the {data.n_bars:,} bars that "
            f"the function was given, and the same number of columns for each of the {n_configs} configs."
        )

    def per_config(figure: Any) -> Any:
        every_column = np.broadcast_to(np.asarray(figure), (n_columns,))
        return every_column.reshape(n_configs, -1).sum(axis=1)

    start = per_config(portfolio.init_cash)
    n_trades, n_orders = per_config(portfolio.trades.count()), per_config(portfolio.orders.count())
    total = value.reshape(n_bars, n_configs, -1).sum(axis=2)
    return [
        Run.from_value(
            np.ascontiguousarray(total[:, at]),
            float(start[at]),
            data.periods_per_year,
            {
                "final_value": float(total[-1, at]),
                "n_trades": int(n_trades[at]),
                "n_orders": int(n_orders[at]),
            },
        )
        for at in range(n_configs)
    ]
