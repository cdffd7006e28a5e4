"""Runs a rule with orders only where a target changes: the accounting of `rbt_ray.simulate.on_change`, eight configs at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rbt_ray.objectives.rule.book import (
    ACCOUNT,
    AMOUNT,
    CASH,
    DUE,
    EQUITY,
    FILLED,
    GROSS,
    HAS_PRICE,
    IS_END,
    KEPT,
    SHORT,
    STANDING,
    WHOLE,
    WORTH,
    close_accounts,
    differs,
)
from rbt_ray.objectives.rule.exits import close_positions, write_due
from rbt_ray.objectives.rule.orders import fill_orders
from rbt_ray.objectives.sweep.layout import TILE, WIDTH
from rbt_ray.objectives.sweep.simd import above, absolute, least, load, splat, store, where
from rbt_ray.objectives.sweep.statistics import (
    FILLS,
    HELD,
    STATE,
    TRADED,
    TRIPS,
    advance_part,
    begin_part,
    block_at,
    column_of,
)
from rbt_ray.simulate.costs import INITIAL_CASH
from rbt_ray.types import FloatArray, IntArray


def drifting(decide: Callable[..., None], segmented: bool, exits: bool) -> Callable[..., None]:
    """Returns the kernel, not yet compiled.

    Args:
        decide: calls the rule; see module `decide`.
        exits: whether positions have exits; see module `exits`.
        segmented: whether there are several segments.
    """
    targets = DUE if exits else STANDING

    def run(
        n_bars: int,
        n_symbols: int,
        lag: int,
        at_open: bool,
        fields: IntArray,
        indicators: IntArray,
        params: FloatArray,
        flags: NDArray[np.uint8],
        fill: FloatArray,
        close: FloatArray,
        rates: FloatArray,
        slippage: float,
        borrow: float,
        margin: float,
        open_: FloatArray,
        high: FloatArray,
        low: FloatArray,
        levels: FloatArray,
        book: FloatArray,
        account: FloatArray,
        own: FloatArray,
        record: FloatArray,
        unusable: IntArray,
        moments: bool,
        state: FloatArray,
        segments: IntArray,
        buffer: FloatArray,
        wanted: NDArray[np.uint8],
        ends: IntArray,
        benchmark: FloatArray,
        sums: FloatArray,
    ) -> None:
        """Advances the state of every config over all bars.

        Args:
            n_bars: bars.
            n_symbols: symbols.
            lag: bars from decision to fill: 0 or 1.
            at_open: whether orders are filled at the open, so that exits follow them on a bar.
            fields: as the other arguments up to `unusable`: see `decide`.
            indicators: see `decide`.
            params: see `decide`.
            flags: see `decide`.
            fill: ``(n_bars, n_symbols)`` flat: fill prices; see `rbt_ray.objectives.sweep.layout.price_tables`.
            close: closes, likewise.
            rates: ``(n_symbols,)`` fee on the money that changes hands, a fraction.
            slippage: by how much a fill is worse than its price, a fraction.
            borrow: cost of a unit of short value held over one bar.
            margin: cost of a unit of gross value above the equity held over one bar.
            open_: opens, ``(n_bars, n_symbols)`` flat, for exits; likewise `high` and `low`.
            high: see `open_`.
            low: see `open_`.
            levels: ``(4, n_configs)`` flat: the settings of exits; see module `exits`.
            book: see module `book`.
            account: see module `book`.
            own: the rule's own numbers.
            record: see `decide`.
            unusable: see `decide`.
            moments: as the arguments after it: see `rbt_ray.objectives.sweep.accumulate`.
            state: see `moments`.
            segments: see `moments`.
            buffer: ``(128, 8)`` flat: scratch memory.
            wanted: see `moments`.
            ends: see `moments`.
            benchmark: see `moments`.
            sums: see `moments`.
        """
        n_rows = len(state) // (len(STATE) * len(segments))
        step = n_symbols * WIDTH
        ordered, values = np.empty(n_symbols, np.int64), np.empty(n_symbols)
        exited = np.zeros(WIDTH)
        zero, one, capital = splat(0.0), splat(1.0), splat(INITIAL_CASH)
        short_rate, margin_rate, financed = splat(borrow), splat(margin), borrow > 0.0 or margin > 0.0
        for tile in range((n_bars + TILE - 1) // TILE):
            start = tile * TILE
            bars = min(TILE, n_bars - start)
            first_block, first_segment, last_segment = block_at(ends, start), 0, 0
            if segmented:
                first_segment, last_segment = block_at(segments, start), block_at(segments, start + bars - 1)
            for group in range(0, n_rows, WIDTH):
                mine, funds = group * KEPT * n_symbols, group * ACCOUNT
                begin = 0
                for segment in range(first_segment, last_segment + 1):
                    end = min(bars, segments[segment] - start) if segmented else bars
                    column = column_of(group, segment, len(segments))
                    seen = start
                    if segmented:
                        seen = begin_part(segments, segment, start + begin, state, column)
                    for t in range(start + begin, start + end):
                        row = t * n_symbols
                        cash, last = load(account, funds + CASH * WIDTH), load(account, funds + WORTH * WIDTH)
                        if financed:
                            excess = least(last - load(account, funds + GROSS * WIDTH), zero)
                            cash = cash - (short_rate * load(account, funds + SHORT * WIDTH) - margin_rate * excess)
                            store(account, funds + CASH * WIDTH, cash)
                        if exits:
                            exited[:] = 0.0
                            if not at_open:
                                close_positions(
                                    t, n_symbols, n_rows, group, column, book, account, state, open_, high, low, flags, levels,
                                    rates, slippage, exited,
                                )  # fmt: skip
                                cash = load(account, funds + CASH * WIDTH)
                        worth = cash
                        for i in range(n_symbols):
                            worth = worth + load(book, mine + AMOUNT * step + i * WIDTH) * splat(fill[row + i])
                        solvent, value = above(worth, zero), worth
                        store(account, funds + WHOLE * WIDTH, worth)
                        if lag == 0:
                            store(account, funds + EQUITY * WIDTH, worth / capital)
                            decide(
                                group, t, n_rows, n_symbols, fields, indicators, params, flags, close, book, account, own,
                                record, unusable,
                            )  # fmt: skip
                        orders = np.uint8(0)
                        if exits:
                            write_due(t, n_symbols, n_rows, group, book, flags, levels)
                        for i in range(n_symbols):
                            flag, at = flags[row + i], mine + i * WIDTH
                            if flag & IS_END:
                                store(book, at + STANDING * step, zero)
                                orders |= differs(load(book, at + AMOUNT * step), zero)
                            if flag & HAS_PRICE:
                                orders |= differs(load(book, at + targets * step), load(book, at + FILLED * step))
                        orders &= solvent
                        if orders:
                            for c in range(WIDTH):
                                if (orders >> c) & 1:
                                    whole = account[funds + WHOLE * WIDTH + c]
                                    money, turned_over, n_fills, n_ended = fill_orders(
                                        t, n_symbols, mine + c, book, account[funds + CASH * WIDTH + c], whole, fill, flags,
                                        rates, slippage, ordered, values, targets,
                                    )  # fmt: skip
                                    account[funds + CASH * WIDTH + c] = money
                                    state[TRADED * WIDTH + column + c] += turned_over / whole
                                    state[FILLS * WIDTH + column + c] += n_fills
                                    state[TRIPS * WIDTH + column + c] += n_ended
                            cash = load(account, funds + CASH * WIDTH)
                        if exits:
                            if at_open:
                                close_positions(
                                    t, n_symbols, n_rows, group, column, book, account, state, open_, high, low, flags, levels,
                                    rates, slippage, exited,
                                )  # fmt: skip
                                cash = load(account, funds + CASH * WIDTH)
                            at_state = TRADED * WIDTH + column
                            store(state, at_state, load(state, at_state) + load(exited, 0) / value)
                        worth, gross, short = cash, zero, zero
                        for i in range(n_symbols):
                            held = load(book, mine + AMOUNT * step + i * WIDTH) * splat(close[row + i])
                            worth = worth + held
                            gross = gross + absolute(held)
                            short = short - least(held, zero)
                        solvent &= above(worth, zero)
                        change = worth / last - one
                        if solvent != 255:
                            # The returns of a config without equity do not count after this bar; module `run` runs it again.
                            change = where(solvent, change, splat(-2.0))
                            worth = where(solvent, worth, capital)
                            gross, short = where(solvent, gross, zero), where(solvent, short, zero)
                            store(account, funds + CASH * WIDTH, where(solvent, cash, capital))
                            close_accounts(solvent, group, n_bars, n_symbols, book, unusable)
                        store(account, funds + WORTH * WIDTH, worth)
                        store(account, funds + GROSS * WIDTH, gross)
                        store(account, funds + SHORT * WIDTH, short)
                        at_state = HELD * WIDTH + column
                        store(state, at_state, load(state, at_state) + gross / worth)
                        store(buffer, (t - start) * WIDTH, change)
                        if lag == 1:
                            store(account, funds + WHOLE * WIDTH, worth)
                            store(account, funds + EQUITY * WIDTH, worth / capital)
                            decide(
                                group, t, n_rows, n_symbols, fields, indicators, params, flags, close, book, account, own,
                                record, unusable,
                            )  # fmt: skip
                    advance_part(
                        segmented, moments, wanted, buffer, begin * WIDTH, seen, end - begin, first_block, ends, benchmark,
                        sums, n_rows, group, state, column,
                    )  # fmt: skip
                    begin = end

    return run
