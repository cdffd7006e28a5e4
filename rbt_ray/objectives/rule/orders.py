"""Fills the orders of one config on one bar, as `rbt_ray.simulate.on_change` does."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from rbt_ray.objectives.rule.book import AMOUNT, FILLED, HAS_PRICE, IS_END, enter
from rbt_ray.objectives.sweep.layout import WIDTH
from rbt_ray.simulate.costs import DUST
from rbt_ray.types import FloatArray, IntArray


@numba.njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def fill_orders(
    t: int,
    n_symbols: int,
    first: int,
    book: FloatArray,
    cash: float,
    worth: float,
    fill: FloatArray,
    flags: NDArray[np.uint8],
    fees: FloatArray,
    slippage: float,
    ordered: IntArray,
    values: FloatArray,
    targets: int,
) -> tuple[float, float, int, int]:
    """Returns cash, traded value, fills and ended round trips after the orders of a bar.

    Args:
        t: the bar.
        n_symbols: symbols.
        first: the config's place of the first symbol in `book`.
        book: see module `book`.
        cash: before the orders.
        worth: cash plus holdings at the fill prices.
        fill: ``(n_bars, n_symbols)`` flat: fill prices before slippage.
        flags: ``(n_bars, n_symbols)`` flat; see module `book`.
        fees: ``(n_symbols,)`` fee on the money that changes hands, a fraction.
        slippage: by how much a fill is worse than its price, a fraction.
        ordered: ``(n_symbols,)`` scratch memory, as `values`.
        values: see `ordered`.
        targets: which targets of the book to fill: `STANDING`, or `DUE` with exits.
    """
    step = n_symbols * WIDTH
    n_orders, turned_over, n_fills, n_ended = 0, 0.0, 0, 0
    for i in range(n_symbols):
        place, flag = first + i * WIDTH, flags[t * n_symbols + i]
        if not flag & HAS_PRICE:
            continue
        target, units = book[place + targets * step], book[place + AMOUNT * step]
        if target != book[place + FILLED * step] or (flag & IS_END and units != 0.0):
            book[place + FILLED * step] = target
            # Sells come first, then buys from the smallest to the largest.
            value = max(0.0, target * worth - units * fill[t * n_symbols + i])
            at = n_orders
            while at > 0 and values[at - 1] > value:
                values[at], ordered[at] = values[at - 1], ordered[at - 1]
                at -= 1
            values[at], ordered[at] = value, i
            n_orders += 1
    for k in range(n_orders):
        i = ordered[k]
        place, at_price = first + i * WIDTH, fill[t * n_symbols + i]
        units = book[place + AMOUNT * step]
        size = book[place + FILLED * step] * worth / at_price - units
        if size > 0.0:
            price = at_price * (1.0 + slippage)
            money = size * price
            affordable = cash / (1.0 + fees[i])
            if money <= affordable or flags[t * n_symbols + i] & IS_END:
                cash -= money + money * fees[i]
            elif affordable <= DUST * worth:
                size = 0.0
            else:
                size = affordable / price
                cash = 0.0
        else:
            money = -size * (at_price * (1.0 - slippage))
            cash += money - money * fees[i]
        if size != 0.0:
            held = units + size
            book[place + AMOUNT * step] = held
            enter(book, place, step, units, held, at_price, t)
            n_ended += units != 0.0 and units * held <= 0.0
            turned_over += abs(size) * at_price
            n_fills += 1
    return cash, turned_over, n_fills, n_ended
