"""Runs a rule with weights reset on every bar: the accounting of `rbt_ray.simulate.every_bar`, eight configs at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rbt_ray.objectives.rule.book import (
    ACCOUNT,
    AMOUNT,
    EQUITY,
    FILLED,
    GROSS,
    HAS_PRICE,
    IS_END,
    KEPT,
    SHORT,
    STANDING,
    WHOLE,
    close_accounts,
    differs,
    enter,
)
from rbt_ray.objectives.sweep.layout import TILE, WIDTH
from rbt_ray.objectives.sweep.simd import above, absolute, add_where, least, load, splat, store, where
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
from rbt_ray.types import FloatArray, IntArray


def resetting(decide: Callable[..., None], segmented: bool) -> Callable[..., None]:
    """Returns the kernel, not yet compiled.

    Args:
        decide: calls the rule; see module `decide`.
        segmented: whether there are several segments.
    """

    def run(
        n_bars: int,
        n_symbols: int,
        lag: int,
        fields: IntArray,
        indicators: IntArray,
        params: FloatArray,
        flags: NDArray[np.uint8],
        fill: FloatArray,
        before: FloatArray,
        after: FloatArray,
        growth: FloatArray,
        to_close: FloatArray,
        rates: FloatArray,
        borrow: float,
        margin: float,
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

        The arguments are those of `drifting`, except these, each ``(n_bars, n_symbols)`` flat but the costs:
            before: returns of each bar before its fill.
            after: returns of each bar after its fill.
            growth: ratio of the fill price to that of the bar before.
            to_close: ratio of the close to the fill price.
            rates: ``(n_symbols,)`` cost per unit of turnover, as a fraction.
            borrow: cost of a unit of short weight held over one bar.
            margin: cost of a unit of gross weight above 1 held over one bar.
        """
        n_rows = len(state) // (len(STATE) * len(segments))
        step = n_symbols * WIDTH
        zero, one, ruin = splat(0.0), splat(1.0), splat(-2.0)
        short_rate, margin_rate = splat(borrow), splat(margin)
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
                        excess = least(one - load(account, funds + GROSS * WIDTH), zero)
                        financing = short_rate * load(account, funds + SHORT * WIDTH) - margin_rate * excess
                        gain, drifted = zero, one
                        for i in range(n_symbols):
                            weight = load(book, mine + AMOUNT * step + i * WIDTH)
                            gain = gain + weight * splat(before[row + i])
                            drifted = drifted + weight * splat(growth[row + i] - 1.0)
                        equity = load(account, funds + EQUITY * WIDTH)
                        store(account, funds + WHOLE * WIDTH, drifted)
                        if lag == 0:
                            store(account, funds + EQUITY * WIDTH, equity * (one + gain - financing))
                            decide(
                                group, t, n_rows, n_symbols, fields, indicators, params, flags, growth, book, account, own,
                                record, unusable,
                            )  # fmt: skip
                        fills, trips = load(state, FILLS * WIDTH + column), load(state, TRIPS * WIDTH + column)
                        cost, moved, gross, short, whole = zero, zero, zero, zero, one
                        for i in range(n_symbols):
                            flag, at = flags[row + i], mine + i * WIDTH
                            weight = load(book, at + AMOUNT * step) * splat(growth[row + i]) / drifted
                            if flag & IS_END:
                                store(book, at + STANDING * step, zero)
                            if flag & HAS_PRICE:
                                target, filled = load(book, at + STANDING * step), load(book, at + FILLED * step)
                                changed = differs(target, filled)
                                if changed:
                                    fills = add_where(changed, fills, one)
                                    flat = ~differs(target, zero)
                                    ended = np.uint8(changed & (above(zero, filled * target) | flat))
                                    trips = add_where(ended, trips, one)
                                    store(book, at + FILLED * step, target)
                                    for c in range(WIDTH):
                                        if (changed >> c) & 1:
                                            grown = book[at + AMOUNT * step + c] * growth[row + i]
                                            old, new = (
                                                grown / account[funds + WHOLE * WIDTH + c],
                                                book[at + STANDING * step + c],
                                            )
                                            enter(book, at + c, step, old, new, fill[row + i], t)
                                trade = absolute(target - weight)
                                cost = cost + splat(rates[i]) * trade
                                moved = moved + trade
                                weight = target
                            gain = gain + weight * splat(after[row + i])
                            whole = whole + weight * splat(after[row + i])
                            gross = gross + absolute(weight)
                            short = short - least(weight, zero)
                            store(book, at + AMOUNT * step, weight)
                        change = gain - cost - financing
                        solvent = np.uint8(above(drifted, zero) & above(one + change, zero))
                        if solvent != 255:
                            # The returns of a config without equity do not count after this bar; module `run` runs it again.
                            change = where(solvent, change, ruin)
                            gross, short = where(solvent, gross, zero), where(solvent, short, zero)
                            close_accounts(solvent, group, n_bars, n_symbols, book, unusable)
                        store(state, FILLS * WIDTH + column, fills)
                        store(state, TRIPS * WIDTH + column, trips)
                        store(state, TRADED * WIDTH + column, load(state, TRADED * WIDTH + column) + moved)
                        store(state, HELD * WIDTH + column, load(state, HELD * WIDTH + column) + gross)
                        store(account, funds + GROSS * WIDTH, gross)
                        store(account, funds + SHORT * WIDTH, short)
                        store(account, funds + EQUITY * WIDTH, equity * (one + where(solvent, change, zero)))
                        store(buffer, (t - start) * WIDTH, change)
                        if lag == 1:
                            store(account, funds + WHOLE * WIDTH, whole)
                            decide(
                                group, t, n_rows, n_symbols, fields, indicators, params, flags, to_close, book, account, own,
                                record, unusable,
                            )  # fmt: skip
                    advance_part(
                        segmented, moments, wanted, buffer, begin * WIDTH, seen, end - begin, first_block, ends, benchmark,
                        sums, n_rows, group, state, column,
                    )  # fmt: skip
                    begin = end

    return run
