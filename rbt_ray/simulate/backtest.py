"""`backtest` simulates target weights on prices and returns a `Backtest`, with its returns and metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import FrozenInstanceError, dataclass, replace
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rbt_ray.errors import InputError, SettingError
from rbt_ray.html_text import escape
from rbt_ray.simulate.benchmark import Beside
from rbt_ray.simulate.closings import Listings, closed_out, closings
from rbt_ray.simulate.costs import BASIS_POINTS, INITIAL_CASH, Costs
from rbt_ray.simulate.exit_settings import EXITS, check_fields, check_rebalance, is_allowed
from rbt_ray.simulate.exit_settings import allowed as allowed_exit
from rbt_ray.simulate.metric_kernel import metrics_of
from rbt_ray.simulate.on_change import run_on_change
from rbt_ray.simulate.weights import date_of, unusable_weight, weights_table
from rbt_ray.types import Execution, FloatArray, IntArray, Metrics, Rebalance, is_real

Missing = Literal["error", "zero"]
_kept: list[Backtest] | None = None
_cost_factor = 1.0
_NO_BARS, _NO_LEVELS = np.empty((0, 0)), np.empty(0)


class Prices(Listings, Protocol):
    """What a backtest needs of a bundle or of a view of one."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields, including "close"."""
        ...

    @property
    def periods_per_year(self) -> float:
        """Bars a year."""
        ...

    def __getitem__(self, field: str) -> FloatArray:
        """A field, ``(n_bars, n_symbols)``, NaN where a symbol has no price."""
        ...


def backtest(
    data: Prices,
    weights: ArrayLike,
    execution: Execution | None = None,
    rebalance: Rebalance = "on_change",
    costs: Costs = Costs(),  # noqa: B008 (frozen)
    missing: Missing = "error",
    whole_units: bool = False,
    initial_cash: float = INITIAL_CASH,
    drawdown_limit: float | None = None,
    benchmark: str | ArrayLike | None = None,
    risk_free: float | ArrayLike = 0.0,
    stop_loss: float | None = None,
    take_profit: float | None = None,
    trailing_stop: float | None = None,
    time_stop: float | None = None,
) -> Backtest:
    """Simulates target weights, each decided on the close of its bar.

    Args:
        data: a bundle or a view of one.
        weights: ``(n_bars, n_symbols)`` shares of equity, negative for short; the rest is cash, which earns
            nothing. The array is not copied: do not change it afterwards.
        execution: ``"next_open"`` fills at the next bar's open (the default where `data` has opens),
            ``"next_close"`` at its close (the default elsewhere), ``"close"`` at the same close that the weights
            were decided on, which no market allows.
        rebalance: ``"every_bar"`` resets the portfolio to its targets on every bar and charges those trades
            (module `every_bar`); ``"on_change"`` orders only when a target changes and lets holdings drift (module
            `on_change`). Both carry a holding over bars without a price.
        costs: costs of trading and holding. Slippage and turnover costs are added in ``"every_bar"``; in
            ``"on_change"`` slippage changes the fill price and the fee applies to the traded value.
        missing: how to treat a weight other than 0 on a bar on which the symbol has no price: ``"error"`` raises,
            ``"zero"`` ignores it. A weight of 0 there is always ignored: nothing is filled on such a bar, and the target of
            the last bar with a price remains. A holding is carried at its last close until the next price, or to the end.
            Weights after the declared end of a listing are always ignored.
        whole_units: trade whole units only; needs ``rebalance="on_change"``.
        initial_cash: capital at the start; it has an effect only with `whole_units`.
        drawdown_limit: the loss from the highest equity so far, such as 0.3, that ends the run on its bar. Holdings count
            at their value on that bar, and later bars have no return. In a study, such a trial has used that share of the
            bars, so it cannot be the best; a constraint such as "max_drawdown > -0.3" also makes it infeasible.
        benchmark: adds `excess_return`, `alpha`, `beta`, `tracking_error` and `information_ratio` to the metrics. ``"hold"``
            holds all symbols of `data` in equal shares, a symbol that symbol alone; or ``(n_bars,)`` simple returns.
        risk_free: return of cash, a year (0.03) or ``(n_bars,)`` per bar, above which `sharpe`, `alpha` and `beta` count.
            Other metrics and a study's verdict do not use it, and cash in the portfolio still earns nothing.
        stop_loss: closes a position within a bar at this loss from its average entry price, such as 0.05; exits need
            opens, highs, lows and ``rebalance="on_change"``, and module `exits` says which price fills.
        take_profit: the same at a gain.
        trailing_stop: the same at a loss from the best price up to the bar before.
        time_stop: closes a position with the order of the bar that is this many bars after its entry.

    Raises:
        ShapeError: `weights` is not ``(n_bars, n_symbols)``.
        SettingError: a setting has a value that is not allowed.
        InputError: `data` is not a bundle; or a weight is NaN or infinite, or has no price with ``missing="error"``. The
            message names the symbol and the date.
    """
    if not hasattr(data, "fields"):
        raise InputError(
            f"`data` is a bundle or a view of one; got a {type(data).__name__}. rbt.Bundle.from_frame(frame) makes one."
        )
    if _cost_factor != 1.0 and isinstance(costs, Costs):
        costs = costs.times(_cost_factor)
    beside = Beside.of(data, benchmark, risk_free, data.periods_per_year)
    table = weights_table(data, weights)
    exits = (stop_loss, take_profit, trailing_stop, time_stop)
    given = {name: value for name, value in zip(EXITS, exits, strict=True) if value is not None}
    setup = _Setup(
        data, table, execution, rebalance, costs, missing, whole_units, initial_cash, drawdown_limit, beside, given
    )
    return _keep(_simulate(setup))


def _keep(run: Backtest) -> Backtest:
    if _kept is not None and len(_kept) < 2:
        _kept.append(run)
    return run


@contextmanager
def keeping() -> Iterator[list[Backtest]]:
    """Collects the first two runs that `backtest` makes in this context, also if the objective raises.

    Two are enough to tell whether there is exactly one; an objective may make thousands.
    """
    global _kept
    before, _kept = _kept, []
    try:
        yield _kept
    finally:
        _kept = before


@contextmanager
def costs_times(factor: float) -> Iterator[None]:
    """Multiplies the costs of all runs that `backtest` makes in this context."""
    global _cost_factor
    before, _cost_factor = _cost_factor, factor
    try:
        yield
    finally:
        _cost_factor = before


@dataclass(frozen=True, slots=True, eq=False)
class _Setup:
    """The validated arguments of `backtest`."""

    data: Prices
    weights: FloatArray
    execution: Execution | None
    rebalance: Rebalance
    costs: Costs
    missing: Missing
    whole_units: bool
    initial_cash: float
    drawdown_limit: float | None
    beside: Beside
    exits: Mapping[str, float]
    """Those of `EXITS` that are set."""

    def __post_init__(self) -> None:
        if self.execution is None:
            object.__setattr__(self, "execution", "next_open" if "open" in self.data.fields else "next_close")
        for name, value, allowed in (
            ("execution", self.execution, get_args(Execution)),
            ("rebalance", self.rebalance, get_args(Rebalance)),
            ("missing", self.missing, get_args(Missing)),
        ):
            if value not in allowed:
                raise SettingError(f"`{name}` is one of {', '.join(map(repr, allowed))}; got {value!r}.")
        if self.execution == "next_open" and "open" not in self.data.fields:
            raise SettingError(
                "`execution` is 'next_open', which needs a field \"open\"; the bundle has "
                f"{', '.join(map(repr, self.data.fields))}. Use 'next_close', or add opens to the bundle."
            )
        if not isinstance(self.costs, Costs):
            raise SettingError(f"`costs` is a Costs, such as Costs(turnover_bps=5); got {self.costs!r}.")
        if self.whole_units and self.rebalance != "on_change":
            raise SettingError(
                f"`whole_units` needs orders, so rebalance='on_change'; got {self.rebalance!r}, which has "
                "targets in shares of equity and no units."
            )
        if not (is_real(self.initial_cash) and 0 < self.initial_cash < math.inf):
            raise SettingError(f"`initial_cash` is a finite amount of money above 0; got {self.initial_cash!r}.")
        limit = self.drawdown_limit
        if limit is not None and not (is_real(limit) and 0 < limit <= 1):
            raise SettingError(
                f"`drawdown_limit` is a share of the equity above 0 and at most 1, or None; got {limit!r}."
            )
        for exit_name, level in self.exits.items():
            if not is_allowed(exit_name, level):
                raise SettingError(f"`{exit_name}` is {allowed_exit(exit_name)}, or None; got {level!r}.")
            check_rebalance(exit_name, self.rebalance)
            check_fields(exit_name, self.data.fields)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Backtest:
    """A simulated strategy: its returns per bar, and its metrics.

    Args:
        returns: ``(n_bars,)`` simple returns after costs; 0.01 is one percent.
        equity: ``(n_bars,)`` running product of ``1 + returns``, starting from 1.
        traded: ``(n_bars,)`` value traded on each bar, as a share of the equity.
        exposure: ``(n_bars,)`` gross weight at each close.
        orders: ``(n_bars,)`` fills on each bar, except those that only undo drift.
        round_trips: ``(n_bars,)`` positions closed on each bar.
        bankrupt_bar: the bar on which the equity was lost: its return is -1, and later returns are 0. Usually None.
        ended_bar: the bar on which `drawdown_limit` ended the run: later returns are 0. Usually None.
        ambiguous_bars: how many bars of a symbol touched a stop and the take-profit, and were filled at the stop.
    """

    returns: FloatArray
    equity: FloatArray
    traded: FloatArray
    exposure: FloatArray
    orders: IntArray
    round_trips: IntArray
    bankrupt_bar: int | None
    _setup: _Setup
    ended_bar: int | None = None
    ambiguous_bars: int = 0

    @property
    def weights(self) -> FloatArray:
        """``(n_bars, n_symbols)`` target weights as given, read-only."""
        return self._setup.weights

    @property
    def index(self) -> NDArray[np.datetime64]:
        """``(n_bars,)`` times of the bars."""
        return self._setup.data.index

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names of the columns of `weights`."""
        return self._setup.data.symbols

    @property
    def periods_per_year(self) -> float:
        """Bars a year, with which `metrics` annualises."""
        return self._setup.data.periods_per_year

    @property
    def execution(self) -> Execution:
        """When orders were filled."""
        execution = self._setup.execution
        assert execution is not None
        return execution

    @property
    def rebalance(self) -> Rebalance:
        """Whether weights were reset on every bar or orders sent on change."""
        return self._setup.rebalance

    @property
    def share(self) -> float:
        """The share of the bars that the run used: 1.0 unless `drawdown_limit` ended it."""
        return 1.0 if self.ended_bar is None else (self.ended_bar + 1) / len(self.returns)

    def metrics(self) -> Metrics:
        """Returns the metrics of the whole run, up to the bar that ended it; module `metrics` defines them."""
        return self.since(0) if self.ended_bar is None else self.on(slice(self.ended_bar + 1))

    def since(self, bar: int) -> Metrics:
        """Returns the metrics of the bars from `bar` on.

        Raises:
            SettingError: the run has no such bar.
        """
        if bar not in range(len(self.returns)):
            raise SettingError(f"`bar` is one of the run's bars, 0 to {len(self.returns) - 1}; got {bar!r}.")
        return self.on(slice(bar, None))

    def on(self, bars: IntArray | slice) -> Metrics:
        """Returns the metrics of some bars, in ascending order, as if they followed one another."""
        returns, beside, per_year = self.returns[bars], self._setup.beside, self.periods_per_year
        others = self.traded[bars], self.exposure[bars], self.orders[bars], self.round_trips[bars], per_year
        figures = metrics_of(returns, *others)
        if (excess := beside.excess(returns, bars)) is not None:
            figures["sharpe"] = metrics_of(excess, *others)["sharpe"]
        return figures | beside.metrics(returns, bars, per_year)

    def at_order_level(self) -> Backtest:
        """Returns the run of the same weights and settings with ``rebalance="on_change"``."""
        return self if self.rebalance == "on_change" else _simulate(replace(self._setup, rebalance="on_change"))

    def __repr__(self) -> str:
        first, last = (np.datetime_as_string(self.index[i], unit="D") for i in (0, -1))
        figures = self.metrics()
        shown = ", ".join(f"{name}={figures[name]:.4g}" for name in ("sharpe", "total_return", "max_drawdown"))
        bankrupt = "" if self.bankrupt_bar is None else f", bankrupt on {date_of(self.index, self.bankrupt_bar)}"
        both = f", ambiguous bars: {self.ambiguous_bars}" if self.ambiguous_bars else ""
        return (
            f"Backtest({len(self.returns)} bars from {first} to {last}, {len(self.symbols)} symbols, "
            f"{self.execution}, {self.rebalance}: {shown}{bankrupt}{both})"
        )

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{name}</th><td>{value:.6g}</td></tr>" for name, value in self.metrics().items())
        return f"<table><caption>{escape(repr(self))}</caption>{rows}</table>"


def _refuse_change(_run: Backtest, name: str, _value: object) -> None:
    raise FrozenInstanceError(
        f"a Backtest is read-only. To record {name!r} too, return {{**run.metrics(), {name!r}: value}} from the objective."
    )


Backtest.__setattr__ = _refuse_change  # type: ignore[method-assign,assignment]  # Python's own raises TypeError if it has slots


def _simulate(setup: _Setup) -> Backtest:
    data, costs = setup.data, setup.costs
    close = np.ascontiguousarray(data["close"])
    fill = np.ascontiguousarray(data["open"]) if setup.execution == "next_open" else close
    lag = 0 if setup.execution == "close" else 1
    strict = setup.missing == "error"
    weights, ends = setup.weights, closings(data, fill, close, lag)
    if ends:
        weights, fill, close = closed_out(ends, weights, fill, close)
    rates = costs.turnover_rates(data.symbols)
    slippage = costs.slippage_bps / BASIS_POINTS
    borrow = costs.borrow_bps / BASIS_POINTS / data.periods_per_year
    margin = costs.margin_bps / BASIS_POINTS / data.periods_per_year
    ambiguous = np.zeros(len(weights) if setup.exits else 0, np.int64)
    open_ = high = low = _NO_BARS
    if setup.exits:
        open_, high, low = (np.ascontiguousarray(data[name]) for name in ("open", "high", "low"))
    if setup.rebalance == "every_bar":
        from rbt_ray.simulate.every_bar import run_every_bar  # here: few runs need it, and it takes time to load

        run = run_every_bar(weights, fill, close, lag, strict, rates + slippage, borrow, margin)
    else:
        run = run_on_change(
            weights,
            fill,
            close,
            lag,
            strict,
            rates,
            slippage,
            borrow,
            margin,
            setup.whole_units,
            float(setup.initial_cash),
            ends.bars_of(len(data.symbols)),
            setup.execution == "next_open",
            open_,
            high,
            low,
            np.array([setup.exits.get(name, np.inf) for name in EXITS]) if setup.exits else _NO_LEVELS,
            ambiguous,
        )[:8]
    returns, equity, traded, exposure, fills, round_trips, bankrupt_bar, unusable_bar = run
    if unusable_bar >= 0:
        raise unusable_weight(data, setup.weights, fill + close, unusable_bar, setup.execution)
    ended_bar = None
    if setup.drawdown_limit is not None:
        ended_bar = _first_drawdown(returns, setup.drawdown_limit)
    if ended_bar is not None:
        for array in (returns, traded, exposure, fills, round_trips, ambiguous):
            array[ended_bar + 1 :] = 0
        equity[ended_bar + 1 :] = equity[ended_bar]
    for array in (returns, equity, traded, exposure, fills, round_trips):
        array.flags.writeable = False
    bankrupt = None if bankrupt_bar < 0 or (ended_bar is not None and ended_bar < bankrupt_bar) else bankrupt_bar
    return Backtest(
        returns, equity, traded, exposure, fills, round_trips, bankrupt, setup, ended_bar, int(ambiguous.sum())
    )


def _first_drawdown(returns: FloatArray, limit: float) -> int | None:
    """Returns the first bar with a drawdown of at least the limit, as the metric `max_drawdown` computes it."""
    equity = np.cumprod(1.0 + returns)
    with np.errstate(invalid="ignore"):
        drawdown = equity / np.maximum(np.maximum.accumulate(equity), 1.0) - 1.0
    bars = np.flatnonzero(drawdown <= -limit)
    return int(bars[0]) if len(bars) else None
