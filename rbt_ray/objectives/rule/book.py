"""The memory of a rule's account: what is kept of each symbol and of the account, for eight configs at a time.

The book is ``(n_configs / 8, n_kept, n_symbols, 8)`` flat, the account ``(n_configs / 8, n_account, 8)`` flat. `place` is the index
of a config's value of `AMOUNT`; the other values of the symbol are multiples of `8 * n_symbols` away.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rbt_ray.objectives.sweep.layout import WIDTH
from rbt_ray.objectives.sweep.simd import above, load, splat, store, where
from rbt_ray.objectives.sweep.statistics import inlined
from rbt_ray.types import FloatArray, IntArray

AMOUNT, FILLED, STANDING, RETURNED, ENTRY, ENTERED, DUE, BLOCKED, PEAK = range(9)
"""Of each symbol: units held (or the weight since the last fill), the target filled last, the current target, what the rule
returned last, the entry price, and the bar of entry. For exits: the target that may be filled, the side that is closed until the
target is 0 or changes sign, and the best price since the entry."""
KEPT = 9
CASH, WORTH, GROSS, SHORT, WHOLE, EQUITY = range(6)
"""Of each account: cash, value at the last close, gross and short value then; and what a bar shows: the value that positions are
shares of, and the equity."""
ACCOUNT = 6

HAS_CLOSE, HAS_PRICE, IS_END = 1, 2, 4
"""The flags of a bar of a symbol: it has a close, it has a price to fill orders at, it is the close-out of a listing."""


def new_book(n_rows: int, n_symbols: int) -> FloatArray:
    """Returns the book before the first bar."""
    book = np.zeros((n_rows // WIDTH, KEPT, n_symbols, WIDTH))
    book[:, ENTRY] = np.nan
    return book.ravel()


def new_account(n_rows: int, capital: float) -> FloatArray:
    """Returns the account before the first bar."""
    account = np.zeros((n_rows // WIDTH, ACCOUNT, WIDTH))
    account[:, [CASH, WORTH, WHOLE]] = capital
    account[:, EQUITY] = 1.0
    return account.ravel()


@inlined  # type: ignore[untyped-decorator]
def differs(left: Any, right: Any) -> Any:
    """Returns bits of the elements that differ."""
    return np.uint8(above(left, right) | above(right, left))


@inlined  # type: ignore[untyped-decorator]
def enter(book: FloatArray, place: int, step: int, before: float, after: float, price: float, bar: int) -> None:
    """Updates the entry of a symbol after a fill that changes the amount held from `before` to `after`.

    The entry price is the average of the fill prices, before costs; selling part of a holding leaves it as it is.
    """
    if after == 0.0:
        book[place + ENTRY * step] = np.nan
    elif before * after <= 0.0:
        book[place + ENTRY * step] = price
        book[place + ENTERED * step] = bar
        book[place + PEAK * step] = price
    elif abs(after) > abs(before):
        old = book[place + ENTRY * step]
        book[place + ENTRY * step] = (before * old + (after - before) * price) / after


@inlined  # type: ignore[untyped-decorator]
def close_accounts(solvent: int, group: int, n_bars: int, n_symbols: int, book: FloatArray, unusable: IntArray) -> None:
    """Empties the books of those of eight configs that have lost their equity, and notes them in `unusable`.

    Args:
        solvent: bits of the configs that have equity.
        group: the row of the first config.
        n_bars: what a config gets in `unusable`, unless a bar is there.
        n_symbols: symbols.
        book: of all configs.
        unusable: see module `decide`.
    """
    zero = splat(0.0)
    for i in range(n_symbols):
        for k in (AMOUNT, FILLED, STANDING):
            at = group * KEPT * n_symbols + (k * n_symbols + i) * WIDTH
            store(book, at, where(solvent, load(book, at), zero))
    for c in range(WIDTH):
        if not (solvent >> c) & 1 and unusable[group + c] < 0:
            unusable[group + c] = n_bars
