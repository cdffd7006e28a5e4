"""Closes positions as `rbt_ray.simulate.exits` does, eight configs at a time.

A level is seen on the high and the low of a bar, and filled at the level, or at the open if that is already beyond it. If a bar touches
a stop and the take-profit, the stop counts: the order of the two within the bar is unknown. A trailing stop uses the highs (or lows)
up to the bar before, and the entry price.

After an exit, a symbol stays flat until its target is 0 or changes sign.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from rbt_ray.objectives.rule.book import (
    ACCOUNT,
    AMOUNT,
    BLOCKED,
    CASH,
    DUE,
    ENTERED,
    ENTRY,
    HAS_PRICE,
    IS_END,
    KEPT,
    PEAK,
    STANDING,
    differs,
)
from rbt_ray.objectives.sweep.layout import WIDTH
from rbt_ray.objectives.sweep.simd import above, absolute, load, splat, store, where
from rbt_ray.objectives.sweep.statistics import FILLS, TRIPS
from rbt_ray.types import FloatArray

STOP, PROFIT, TRAIL, TIME = range(4)
"""The levels of each config, in the order of `rbt_ray.simulate.exit_settings.EXITS`; a level without a setting is infinite."""


@numba.njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def write_due(
    t: int, n_symbols: int, n_rows: int, group: int, book: FloatArray, flags: NDArray[np.uint8], levels: FloatArray
) -> None:
    """Writes the targets of eight configs that may be filled on a bar: 0 after an exit, and where a position lasted long enough.

    Args:
        t: the bar.
        n_symbols: symbols.
        n_rows: number of configs.
        group: the row of the first config.
        book: see module `book`.
        flags: see module `book`.
        levels: ``(4, n_rows)`` flat: the settings of exits.
    """
    step, first = n_symbols * WIDTH, group * KEPT * n_symbols
    zero, one, most = splat(0.0), splat(1.0), load(levels, TIME * n_rows + group)
    for i in range(n_symbols):
        at = first + i * WIDTH
        if flags[t * n_symbols + i] & IS_END:
            store(book, at + STANDING * step, zero)
        target, units = load(book, at + STANDING * step), load(book, at + AMOUNT * step)
        held = splat(np.float64(t)) - load(book, at + ENTERED * step)
        expired = np.uint8(differs(units, zero) & ~above(most, held))
        side = where(above(units, zero), one, zero - one)
        blocked = where(expired, side, load(book, at + BLOCKED * step))
        stays = above(blocked * target, zero)
        store(book, at + BLOCKED * step, where(stays, blocked, zero))
        store(book, at + DUE * step, where(stays, zero, target))


@numba.njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def close_positions(
    t: int,
    n_symbols: int,
    n_rows: int,
    group: int,
    column: int,
    book: FloatArray,
    account: FloatArray,
    state: FloatArray,
    open_: FloatArray,
    high: FloatArray,
    low: FloatArray,
    flags: NDArray[np.uint8],
    levels: FloatArray,
    fees: FloatArray,
    slippage: float,
    exited: FloatArray,
) -> None:
    """Closes the positions of eight configs whose levels a bar touches.

    Args:
        t: the bar.
        n_symbols: symbols.
        n_rows: number of configs.
        group: the row of the first config.
        column: of its statistics in `state`.
        book: see module `book`.
        account: see module `book`.
        state: see `rbt_ray.objectives.sweep.statistics`.
        open_: ``(n_bars, n_symbols)`` flat, as `high` and `low`.
        high: see `open_`.
        low: see `open_`.
        flags: see module `book`.
        levels: ``(4, n_rows)`` flat: the settings of exits.
        fees: ``(n_symbols,)`` fee on the money that changes hands, a fraction.
        slippage: by how much a fill is worse than its price, a fraction.
        exited: ``(8,)`` output: the value that exits traded is added to it.
    """
    step, first = n_symbols * WIDTH, group * KEPT * n_symbols
    zero, one, price = splat(0.0), splat(1.0), np.empty(WIDTH)
    stop, profit = load(levels, STOP * n_rows + group), load(levels, PROFIT * n_rows + group)
    trail = load(levels, TRAIL * n_rows + group)
    for i in range(n_symbols):
        at, bar = first + i * WIDTH, t * n_symbols + i
        units = load(book, at + AMOUNT * step)
        held = differs(units, zero)
        if held == 0 or not flags[bar] & HAS_PRICE or not open_[bar] + high[bar] + low[bar] > -np.inf:  # NaN is not
            continue
        # With the sign of the position, a short one is a long one at negative prices.
        is_long = above(units, zero)
        side = where(is_long, one, zero - one)
        entry, peak = side * load(book, at + ENTRY * step), side * load(book, at + PEAK * step)
        worst = where(is_long, splat(low[bar]), splat(-high[bar]))
        best = where(is_long, splat(high[bar]), splat(-low[bar]))
        start, goal = side * splat(open_[bar]), entry + absolute(entry) * profit
        level, trailing = entry - absolute(entry) * stop, peak - absolute(peak) * trail
        level = where(above(trailing, level), trailing, level)
        store(book, at + PEAK * step, where(above(best, peak), side * best, side * peak))
        at_start = ~above(start, level) | ~above(goal, start)
        touched = np.uint8(held & (at_start | ~above(worst, level) | ~above(goal, best)))
        if touched:
            within = where(np.uint8(~above(worst, level)), level, goal)
            store(price, 0, where(np.uint8(at_start), start, within))
            for c in range(WIDTH):
                if (touched >> c) & 1:
                    cash, sign = group * ACCOUNT + CASH * WIDTH + c, 1.0 if (is_long >> c) & 1 else -1.0
                    amount, paid = book[at + AMOUNT * step + c], sign * price[c]
                    money = amount * paid * (1.0 - sign * slippage)
                    account[cash] += money - abs(money) * fees[i]
                    exited[c] += abs(amount) * paid
                    state[FILLS * WIDTH + column + c] += 1.0
                    state[TRIPS * WIDTH + column + c] += 1.0
                    book[at + AMOUNT * step + c], book[at + ENTRY * step + c] = 0.0, np.nan
                    book[at + BLOCKED * step + c] = sign
