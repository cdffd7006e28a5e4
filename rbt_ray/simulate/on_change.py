"""Computes returns from target weights at order level: a symbol is ordered only if its target changes, else it drifts.

On each bar, in this order (package `rbt_ray.simulate` defines prices, current targets, and the value of holdings on bars
without a price):

1. financing of the holdings since the last close is paid from cash;
2. `V` is cash plus holdings at the fill prices. Each symbol with a price whose current target `w'` differs from the
   one filled last is ordered to `w' * V / F` units;
3. sells are filled first, in the order of the symbols, then buys from the smallest to the largest (ties in the order
   of the symbols): a sell at `F * (1 - slippage)`, a buy at `F * (1 + slippage)`, the fee on the money that changes
   hands. A buy is cut to `cash / (price * (1 + fee))`; the rest is dropped and not retried. Nothing is bought
   on credit, or with less cash than `1e-12 * V`, which is rounding error. At the end of a listing a short
   holding is covered completely, whatever the cash;
4. the bar's equity is cash plus holdings at the close.

Whole units: orders are rounded towards zero. Bankruptcy: the run ends if `V` or the equity is not above
0, with a return of -1.

Exits (module `exits`) close positions between 1 and 2 if orders are filled at the close, else between 3 and 4.
"""

from __future__ import annotations

import numpy as np
from numba import int64

from rbt_ray.simulate.compiled import COUNTS, FLAG, INTEGER, NUMBER, TABLE, VECTOR, compiled
from rbt_ray.simulate.costs import DUST
from rbt_ray.simulate.exits import close_positions, due_target, enter
from rbt_ray.types import FloatArray, IntArray

_MANY = 64
"""Number of orders on one bar above which sorting is faster than insertion."""


_OUTPUT = int64[::1]


@compiled(
    TABLE, TABLE, TABLE, INTEGER, FLAG, VECTOR, NUMBER, NUMBER, NUMBER, FLAG, NUMBER, COUNTS,
    FLAG, TABLE, TABLE, TABLE, VECTOR, _OUTPUT,
)  # fmt: skip
def run_on_change(
    weights: FloatArray,
    fill: FloatArray,
    close: FloatArray,
    lag: int,
    strict: bool,
    fees: FloatArray,
    slippage: float,
    borrow: float,
    margin: float,
    whole_units: bool,
    initial_cash: float,
    ends: IntArray,
    at_open: bool,
    open_: FloatArray,
    high: FloatArray,
    low: FloatArray,
    levels: FloatArray,
    ambiguous: IntArray,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, IntArray, IntArray, int, int, FloatArray, FloatArray]:
    """Runs the steps of this module.

    The arguments are those of `run_every_bar`, except these:
        fill: ``(n_bars, n_symbols)`` fill prices before slippage; NaN if there is none.
        fees: ``(n_symbols,)`` fee on the money that changes hands, a fraction.
        slippage: by how much a fill is worse than its price, a fraction.
        borrow: cost of a unit of short value held over one bar.
        margin: cost of a unit of gross value above the equity held over one bar.
        whole_units: whether only whole units are traded.
        initial_cash: money at the start.
        ends: ``(n_symbols,)`` the bar on which a holding is closed out, -1 for none; see module `closings`.
        at_open: whether orders are filled at the open, so that exits follow them on a bar.
        open_: ``(n_bars, n_symbols)`` opens, for exits only; likewise `high` and `low`.
        high: see `open_`.
        low: see `open_`.
        levels: ``(4,)`` settings of exits, see module `exits`; empty without exits.
        ambiguous: ``(n_bars,)`` output: how many symbols touched a stop and the take-profit; of any length without exits.

    Returns:
        returns, equity (as a multiple of `initial_cash`), traded (value of the orders at the fill prices / `V`),
        exposure (gross value at the close / equity), fills, round trips ended, each ``(n_bars,)``; the bar of
        bankruptcy, and the bar at which a weight cannot be used, -1 for none; cash ``(n_bars,)`` and units held
        ``(n_bars, n_symbols)`` at each close.
    """
    n_bars, n_symbols = weights.shape
    returns = np.zeros(n_bars)
    equity = np.zeros(n_bars)
    traded = np.zeros(n_bars)
    exposure = np.zeros(n_bars)
    fills = np.zeros(n_bars, np.int64)
    round_trips = np.zeros(n_bars, np.int64)
    cash_at_close = np.zeros(n_bars)
    units_at_close = np.zeros((n_bars, n_symbols))
    units = np.zeros(n_symbols)
    standing = np.zeros(n_symbols)
    filled = np.zeros(n_symbols)
    at_fill = np.empty(n_symbols)
    last_close = np.full(n_symbols, np.nan)
    ordered = np.empty(n_symbols, np.int64)
    order_values = np.empty(n_symbols)
    exits = len(levels) > 0
    kept = np.zeros((4, n_symbols if exits else 0))
    cash, worth, gross, short = initial_cash, initial_cash, 0.0, 0.0

    for t in range(n_bars):
        last_worth = worth
        cash -= borrow * short + margin * max(0.0, gross - last_worth)
        n_orders = 0
        turned_over = 0.0
        if exits and not at_open:
            cash, turned_over, n_closed = close_positions(
                t, cash, units, fill[t] + close[t], open_, high, low, levels, fees, slippage, kept, ambiguous
            )
            fills[t] += n_closed
            round_trips[t] += n_closed
        worth = cash
        for i in range(n_symbols):
            price = fill[t, i] + close[t, i]
            priced = price == price
            wanted = weights[t, i]
            if not (abs(wanted) < np.inf and (priced or not strict or wanted == 0.0)):
                return returns, equity, traded, exposure, fills, round_trips, -1, t, cash_at_close, units_at_close
            if close[t, i] == close[t, i]:
                last_close[i] = close[t, i]
            at_fill[i] = fill[t, i] if priced else last_close[i]
            if priced:
                target = standing[i] if lag == 1 else wanted
                standing[i] = wanted
                if exits:
                    target = due_target(t, i, target, units[i], kept, levels)
                if target != filled[i] or (ends[i] == t and units[i] != 0.0):
                    filled[i] = target
                    ordered[n_orders] = i
                    n_orders += 1
            if units[i] != 0.0:
                worth += units[i] * at_fill[i]
        if worth <= 0.0:
            returns[t] = -1.0
            return returns, equity, traded, exposure, fills, round_trips, t, -1, cash_at_close, units_at_close

        if n_orders > _MANY:
            for k in range(n_orders):
                order_values[k] = max(0.0, filled[ordered[k]] * worth - units[ordered[k]] * fill[t, ordered[k]])
            ordered[:n_orders] = ordered[np.argsort(order_values[:n_orders], kind="mergesort")]
        else:  # inserted in order: on most bars there is no order, and sorting nothing is not free
            for k in range(n_orders):
                i = ordered[k]
                value = max(0.0, filled[i] * worth - units[i] * fill[t, i])
                at = k
                while at > 0 and order_values[at - 1] > value:
                    order_values[at], ordered[at] = order_values[at - 1], ordered[at - 1]
                    at -= 1
                order_values[at], ordered[at] = value, i
        for k in range(n_orders):
            i = ordered[k]
            size = filled[i] * worth / fill[t, i] - units[i]
            if size > 0.0:
                price = fill[t, i] * (1.0 + slippage)
                if whole_units:
                    size = np.floor(size)
                money = size * price
                affordable = cash / (1.0 + fees[i])
                if money <= affordable or ends[i] == t:
                    cash -= money + money * fees[i]
                elif affordable <= DUST * worth:
                    size = 0.0
                elif whole_units:
                    size = np.floor(affordable / price)
                    cash -= size * price + size * price * fees[i]
                else:
                    size = affordable / price
                    cash = 0.0
            else:
                price = fill[t, i] * (1.0 - slippage)
                if whole_units:
                    size = np.ceil(size)
                money = -size * price
                cash += money - money * fees[i]
            if size != 0.0:
                held = units[i]
                units[i] += size
                if exits:
                    enter(t, i, held, units[i], fill[t, i], kept)
                if held != 0.0 and held * units[i] <= 0.0:
                    round_trips[t] += 1
                turned_over += abs(size) * fill[t, i]
                fills[t] += 1
        if exits and at_open:
            cash, exited, n_closed = close_positions(
                t, cash, units, fill[t] + close[t], open_, high, low, levels, fees, slippage, kept, ambiguous
            )
            turned_over += exited
            fills[t] += n_closed
            round_trips[t] += n_closed
        traded[t] = turned_over / worth

        worth, gross, short = cash, 0.0, 0.0
        for i in range(n_symbols):
            if units[i] != 0.0:
                value = units[i] * last_close[i]
                worth += value
                gross += abs(value)
                short += max(0.0, -value)
        if worth <= 0.0:
            returns[t] = -1.0
            return returns, equity, traded, exposure, fills, round_trips, t, -1, cash_at_close, units_at_close
        returns[t] = worth / last_worth - 1.0
        equity[t] = worth / initial_cash
        exposure[t] = gross / worth
        cash_at_close[t] = cash
        units_at_close[t] = units
    return returns, equity, traded, exposure, fills, round_trips, -1, -1, cash_at_close, units_at_close
