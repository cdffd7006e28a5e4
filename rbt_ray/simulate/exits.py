"""Closes positions within a bar at a stop-loss, take-profit or trailing stop, and with an order after a number of bars.

A level is seen on the high and the low of a bar, and filled at the level, or at the open if that is already beyond it. If a bar touches
a stop and the take-profit, the stop counts: the order of the two within the bar is unknown. A trailing stop uses the highs (or lows)
up to the bar before, and the entry price. A bar without a price, or without an open, a high or a low, closes nothing.

After an exit, a symbol stays flat until its target is 0 or changes sign.

`kept` is ``(4, n_symbols)``: what exits need to know of each symbol.
"""

from __future__ import annotations

import numba
import numpy as np

from rbt_ray.types import FloatArray, IntArray

ENTRY, ENTERED, PEAK, BLOCKED = range(4)
"""Of each symbol: the entry price, the bar of entry, the best price since, and the side that is closed."""
STOP, PROFIT, TRAIL, TIME = range(4)
"""The levels, in the order of `exit_settings.EXITS`; a level without a setting is infinite."""


@numba.njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def due_target(t: int, i: int, target: float, units: float, kept: FloatArray, levels: FloatArray) -> float:
    """Returns the target that may be filled: 0 after an exit, and where a position lasted long enough.

    Args:
        t: the bar.
        i: the symbol.
        target: its current target.
        units: what is held of it.
        kept: see this module.
        levels: ``(4,)`` settings of exits.
    """
    if units != 0.0 and t - kept[ENTERED, i] >= levels[TIME]:
        kept[BLOCKED, i] = 1.0 if units > 0.0 else -1.0
    if kept[BLOCKED, i] * target > 0.0:
        return 0.0
    kept[BLOCKED, i] = 0.0
    return target


@numba.njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def enter(t: int, i: int, before: float, after: float, price: float, kept: FloatArray) -> None:
    """Updates the entry of a symbol after a fill that changes the units held from `before` to `after`.

    The entry price is the average of the fill prices, before costs; selling part of a holding leaves it as it is.
    """
    if before * after <= 0.0:
        kept[ENTRY, i], kept[ENTERED, i], kept[PEAK, i] = price, t, price
    elif abs(after) > abs(before):
        kept[ENTRY, i] = (before * kept[ENTRY, i] + (after - before) * price) / after


@numba.njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def exit_price(
    side: float, entry: float, peak: float, first: float, high: float, low: float, levels: FloatArray
) -> tuple[float, bool]:
    """Returns the price at which a bar closes a position, NaN if it does not, and whether the bar touched a stop and the profit.

    Args:
        side: 1 for a long position, -1 for a short one.
        entry: its entry price.
        peak: its best price up to the bar before.
        first: the open.
        high: the high.
        low: the low.
        levels: ``(4,)`` settings of exits.
    """
    # With the sign of the position, a short one is a long one at negative prices.
    entry, peak, first = side * entry, side * peak, side * first
    worst, best = (low, high) if side > 0.0 else (-high, -low)
    stop = max(entry - abs(entry) * levels[STOP], peak - abs(peak) * levels[TRAIL])
    goal = entry + abs(entry) * levels[PROFIT]
    if first <= stop or first >= goal:
        return side * first, False
    if worst <= stop:
        return side * stop, best >= goal
    if best >= goal:
        return side * goal, False
    return np.nan, False


@numba.njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def close_positions(
    t: int,
    cash: float,
    units: FloatArray,
    prices: FloatArray,
    open_: FloatArray,
    high: FloatArray,
    low: FloatArray,
    levels: FloatArray,
    fees: FloatArray,
    slippage: float,
    kept: FloatArray,
    ambiguous: IntArray,
) -> tuple[float, float, int]:
    """Closes the positions whose levels a bar touches; returns cash, the value traded and how many were closed.

    Args:
        t: the bar.
        cash: before.
        units: ``(n_symbols,)`` held; those that are closed become 0.
        prices: ``(n_symbols,)`` NaN where the bar has no price.
        open_: ``(n_bars, n_symbols)``, as `high` and `low`.
        high: see `open_`.
        low: see `open_`.
        levels: ``(4,)`` settings of exits.
        fees: ``(n_symbols,)`` fee on the money that changes hands, a fraction.
        slippage: by how much a fill is worse than its price, a fraction.
        kept: see this module.
        ambiguous: ``(n_bars,)`` output: how many symbols touched a stop and the profit.
    """
    value, n_closed = 0.0, 0
    for i in range(len(units)):
        first, highest, lowest = open_[t, i], high[t, i], low[t, i]
        if units[i] == 0.0 or not prices[i] + first + highest + lowest > -np.inf:  # NaN is not
            continue
        side = 1.0 if units[i] > 0.0 else -1.0
        price, both = exit_price(side, kept[ENTRY, i], kept[PEAK, i], first, highest, lowest, levels)
        if price == price:
            money = units[i] * price * (1.0 - side * slippage)
            cash += money - abs(money) * fees[i]
            value += abs(units[i]) * price
            n_closed += 1
            ambiguous[t] += both
            units[i], kept[BLOCKED, i] = 0.0, side
        elif side > 0.0:
            kept[PEAK, i] = max(kept[PEAK, i], highest)
        else:
            kept[PEAK, i] = min(kept[PEAK, i], lowest)
    return cash, value, n_closed
