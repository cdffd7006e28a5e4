"""Calls a rule for each symbol and config on the close of a bar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from rbt_ray.objectives.rule.bar import Names, bar_of, params_of
from rbt_ray.objectives.rule.book import (
    ACCOUNT,
    AMOUNT,
    ENTERED,
    ENTRY,
    EQUITY,
    HAS_CLOSE,
    HAS_PRICE,
    KEPT,
    RETURNED,
    STANDING,
    WHOLE,
)
from rbt_ray.objectives.sweep.layout import WIDTH
from rbt_ray.types import FloatArray, IntArray


def decision_of(step: Any, names: Names) -> Callable[..., None]:
    """Returns the function for kernels that calls a compiled rule.

    Args:
        step: the rule, compiled by Numba.
        names: what it gets.
    """
    bar_type, params_type, *_ = names.step_types()
    make_bar, make_params = bar_of(names, bar_type), params_of(params_type, len(names.params))
    n_state = names.n_state

    if n_state:

        @numba.njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
        def call(bar: Any, params: Any, state: FloatArray, at: int) -> float:
            return float(step(bar, params, state[at : at + n_state]))

    else:

        @numba.njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
        def call(bar: Any, params: Any, state: FloatArray, at: int) -> float:  # noqa: ARG001
            return float(step(bar, params))

    @numba.njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
    def decide(
        group: int,
        t: int,
        n_rows: int,
        n_symbols: int,
        fields: IntArray,
        indicators: IntArray,
        params: FloatArray,
        flags: NDArray[np.uint8],
        prices: FloatArray,
        book: FloatArray,
        account: FloatArray,
        state: FloatArray,
        record: FloatArray,
        unusable: IntArray,
    ) -> None:
        """Writes the targets of eight configs.

        Args:
            group: row of the first config.
            t: the bar.
            n_rows: number of configs, a multiple of 8.
            n_symbols: symbols.
            fields: ``(n_fields,)`` addresses of the bundle's fields.
            indicators: ``(n_indicators, n_rows)`` flat: addresses of the indicators of each config.
            params: ``(n_params, n_rows)`` flat.
            flags: ``(n_bars, n_symbols)`` flat; see module `book`.
            prices: ``(n_bars, n_symbols)`` flat: value of an amount of 1.
            book: see module `book`.
            account: see module `book`.
            state: ``(n_rows, n_symbols, n_state)`` flat: the rule's own numbers.
            record: ``(n_bars, n_symbols)`` flat: output, the targets of the first config; empty if they are not wanted.
            unusable: ``(n_rows,)`` output: the bar on which a config's target is not finite, or on which it is bankrupt.
        """
        step_size = n_symbols * WIDTH
        mine, own = group * KEPT * n_symbols, group * ACCOUNT
        for i in range(n_symbols):
            at = t * n_symbols + i
            if not flags[at] & HAS_CLOSE:
                continue
            for c in range(WIDTH):
                if unusable[group + c] >= 0:
                    continue
                place = mine + i * WIDTH + c
                amount = book[place + AMOUNT * step_size]
                held = 0
                if amount != 0.0:
                    held = t - int(book[place + ENTERED * step_size])
                bar = make_bar(
                    fields,
                    indicators,
                    group + c,
                    n_rows,
                    at,
                    (
                        amount * prices[at] / account[own + WHOLE * WIDTH + c],
                        book[place + RETURNED * step_size],
                        book[place + ENTRY * step_size],
                        held,
                        account[own + EQUITY * WIDTH + c],
                        i,
                        n_symbols,
                        t,
                    ),
                )
                lane_state = ((group + c) * n_symbols + i) * n_state
                target = call(bar, make_params(params, group + c, n_rows), state, lane_state)
                if not abs(target) < np.inf:
                    unusable[group + c] = t
                book[place + RETURNED * step_size] = target
                if flags[at] & HAS_PRICE:
                    book[place + STANDING * step_size] = target
            if group == 0 and len(record) > 0:
                record[at] = book[mine + i * WIDTH + RETURNED * step_size]

    return decide  # type: ignore[no-any-return]
