"""Makes an objective of a `Strategy` of backtesting.py, whose class variables are the params.

backtesting.py is licensed under the AGPL and is not part of rbt_ray: ``pip install 'rbt-ray[backtesting]'``.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rbt_ray.adapters import frames
from rbt_ray.adapters.run import Run
from rbt_ray.errors import ObjectiveError
from rbt_ray.nearest import nearest
from rbt_ray.objectives.strategy_adapter import StrategyAdapter
from rbt_ray.types import Config, FloatArray, IntArray, Metrics

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle
    from rbt_ray.data.view import BundleView

_NOT_FIGURES = ("Start", "End", "Duration")
_SUMMED = ("n_trades", "equity_final", "commissions")
"""Figures that are summed over symbols; all others are averaged."""


def objective(
    strategy: type,
    *,
    symbol: str | None = None,
    cash: float = 10_000,
    spread: float = 0.0,
    commission: Any = 0.0,
    margin: float = 1.0,
    trade_on_close: bool = False,
    hedging: bool = False,
    exclusive_orders: bool = False,
    finalize_trades: bool = False,
    constraint: Any = None,
) -> Backtesting:
    """Returns an objective that runs a `backtesting.Strategy` on a study's bars.

    Its metrics are rbt_ray's, of the account's returns on every bar, and all of backtesting.py's under snake-case names:
    ``Return [%]`` is `return_pct`, ``# Trades`` `n_trades`, ``SQN`` `sqn`, ``Max. Drawdown Duration``
    `max_drawdown_duration_days`.

    Args:
        strategy: the class. A study's param sets the class variable of the same name.
        symbol: the symbol to trade. None: each symbol of the bundle, with an account of its own. Money and trades are then
            summed, rbt_ray's metrics are of all accounts together, and backtesting.py's other figures are means over the
            symbols that have them.
        cash: the cash of each account; this and the following arguments have the names and defaults of `backtesting.Backtest`.
        spread: between bid and ask, as a share of the price.
        commission: a share, a pair (fixed, share), or a function of (size, price).
        margin: 1 / leverage.
        trade_on_close: whether orders fill at the close of the bar they are made on.
        hedging: whether long and short trades can be open at the same time.
        exclusive_orders: whether a new order closes the open trade.
        finalize_trades: whether trades that are open on the last bar are closed there.
        constraint: as of `Backtest.optimize`, a function of params such as ``lambda p: p.fast < p.slow``. The study gets it as
            one of its `constraints`.

    Raises:
        ObjectiveError: `strategy` is not a class.
    """
    if not isinstance(strategy, type):
        raise ObjectiveError(f"`strategy` is a subclass of backtesting.Strategy, not an instance; got {strategy!r}.")
    return Backtesting(
        strategy,
        symbol,
        cash,
        spread,
        commission,
        margin,
        trade_on_close,
        hedging,
        exclusive_orders,
        finalize_trades,
        constraint,
    )


@dataclass(frozen=True)
class Backtesting(StrategyAdapter):
    """See `objective`."""

    symbol: str | None
    cash: float
    spread: float
    commission: Any
    margin: float
    trade_on_close: bool
    hedging: bool
    exclusive_orders: bool
    finalize_trades: bool
    constraint: Any = None

    @property
    def constraints(self) -> tuple[Any, ...]:
        """See `StrategyAdapter`."""
        return () if self.constraint is None else (self.constraint,)

    def with_costs_times(self, factor: float) -> Backtesting:
        """Returns the same objective with its spread and commission multiplied by a factor."""
        given, spread = self.commission, self.spread * factor
        if callable(given):
            return replace(self, spread=spread, commission=partial(_times, given, factor))
        pair = isinstance(given, (tuple, list))
        return replace(
            self, spread=spread, commission=tuple(part * factor for part in given) if pair else given * factor
        )

    def settings(self) -> list[Any]:
        """Returns the values of all fields but the constraint, which the study records."""
        return super().settings()[:-1]

    def __call__(self, params: Config, data: BundleView) -> Run:
        """Runs one config.

        Raises:
            ObjectiveError: no symbol has a price on these bars.
        """
        symbols = [self.symbol] if self.symbol is not None else data.symbols
        priced = [symbol for symbol in symbols if not np.isnan(data.close[:, frames.column_of(data, symbol)]).all()]
        if not priced:
            raise ObjectiveError(
                f"`{self.symbol}` has no price on the first {data.n_bars:,} bars. Raise `min_fidelity`, or use a symbol "
                "that is listed earlier."
            )
        accounts = [self._account(params, data, symbol) for symbol in priced]
        idle = self.cash * (len(symbols) - len(priced))
        value = np.sum([value for value, _ in accounts], axis=0) + idle
        figures = _aggregate([own for _, own in accounts], idle)
        return Run.from_value(value, self.cash * len(symbols), data.periods_per_year, figures)

    def check(self, names: Collection[str], bundle: Bundle | None) -> None:
        """See `StrategyAdapter`: each param must be a class variable, and the bundle must have the symbol."""
        frames.check_symbol(self.symbol, bundle)
        unknown = [name for name in names if not hasattr(self.strategy, name)]
        if unknown:
            own = [name for name in dir(self.strategy) if not name.startswith("_")]
            raise ObjectiveError(
                f"`{self.strategy.__name__}` has no class variable `{unknown[0]}`, which is a parameter of the space; "
                f"{nearest(unknown[0], own)} Params of backtesting.py are class variables."
            )

    def _account(self, params: Config, data: BundleView, symbol: str) -> tuple[FloatArray, Metrics]:
        """Returns ``(n_bars,)`` an account's value, and backtesting.py's figures."""
        nbytes = 8 * data.n_bars * (len(data.fields) + 1)
        backtest, rows = frames.cached(data, (self, symbol), lambda: self._backtest(data, symbol), nbytes)
        with _no_progress_bar():
            stats = backtest.run(**params)
        # On bars without a price the account keeps its last value, and before the first price its cash.
        value = np.full(data.n_bars, np.nan)
        value[rows] = stats["_equity_curve"]["Equity"].to_numpy()
        value = pd.Series(value).ffill().fillna(self.cash).to_numpy()
        return value, _figures(stats)

    def _backtest(self, data: BundleView, symbol: str) -> tuple[Any, IntArray]:
        """Returns the `Backtest` of a symbol, and the positions of the bars with prices."""
        from backtesting import Backtest

        frame = frames.table(data, symbol).rename(columns=str.capitalize)
        for name in ("Open", "High", "Low"):
            if name not in frame:  # as the documentation of backtesting.py advises
                frame[name] = frame["Close"]
        known = frame[["Open", "High", "Low", "Close"]].notna().all(axis=1).to_numpy()
        options = dict(zip(_OPTIONS, self.settings()[2:], strict=True))
        return Backtest(frame if known.all() else frame[known], self.strategy, **options), np.flatnonzero(known)


_OPTIONS = tuple(Backtesting.__dataclass_fields__)[2:-1]
"""The arguments of `backtesting.Backtest`: all settings after the strategy and the symbol."""


@contextlib.contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Hides the progress bar that backtesting.py prints on stderr for each run and has no option for."""
    import backtesting.backtesting as module

    bar = module._tqdm
    module._tqdm = lambda bars, **_: bars
    try:
        yield
    finally:
        module._tqdm = bar


def _figures(stats: pd.Series[Any]) -> Metrics:
    """Returns backtesting.py's statistics as numbers by snake-case names."""
    figures: Metrics = {"commissions": 0.0}  # backtesting.py omits them if there are none
    for label, value in stats.items():
        name = str(label)
        if name.startswith("_") or name in _NOT_FIGURES:
            continue
        if name.endswith("Duration"):
            figures[f"{_snake_case(name)}_days"] = (
                value / pd.Timedelta(days=1) if isinstance(value, pd.Timedelta) else np.nan
            )
        else:
            figures[_snake_case(name)] = value
    return figures


def _snake_case(label: str) -> str:
    for sign, word in (("#", "n"), ("[%]", "pct"), ("[$]", ""), ("&", "and")):
        label = label.replace(sign, word)
    return re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")


def _aggregate(each: list[Metrics], idle: float) -> Metrics:
    if len(each) == 1 and not idle:
        return each[0]
    figures: Metrics = {}
    for name in each[0]:
        values = np.array([own[name] for own in each], dtype=np.float64)
        known = values[~np.isnan(values)]
        figures[name] = float(known.sum() if name in _SUMMED else known.mean() if len(known) else np.nan)
    figures["equity_final"] += idle
    return figures | {"n_trades": int(figures["n_trades"])}


def _times(commission: Any, factor: float, size: float, price: float) -> float:
    return float(commission(size, price) * factor)
