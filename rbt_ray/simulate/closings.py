"""Ends of listings: on which bar, and at which price, a holding is closed because its symbol is listed no more.

A bundle declares the time of a symbol's last bar. The holding is closed on the first bar after it, as until then nobody
knows that there will be no other price. To the accountings such a bar is one with a price, the last close, and a
target of 0; no later bar has a price.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rbt_ray.types import FloatArray, IntArray


class Listings(Protocol):
    """What a bundle or a view of one says of its listings."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names of the columns."""
        ...

    @property
    def index(self) -> NDArray[np.datetime64]:
        """``(n_bars,)`` times of the bars."""
        ...

    @property
    def listed_until(self) -> Mapping[str, np.datetime64]:
        """The time of the last bar of each symbol whose listing is declared to end."""
        ...


@dataclass(frozen=True, slots=True)
class Closing:
    """The close-out of one symbol.

    Args:
        symbol: its column.
        bar: the first bar after the end of its listing.
        decided: the bar whose target is filled on `bar`, and so is 0 whatever was decided.
        price: its last close.
    """

    symbol: int
    bar: int
    decided: int
    price: float


def closings(data: Listings, fill: FloatArray, close: FloatArray, lag: int) -> tuple[Closing, ...]:
    """The close-outs within the bars of `data`; none for a symbol that could not be bought before.

    Args:
        data: the declared ends.
        fill: ``(n_bars, n_symbols)`` prices of the fills; NaN where there is none.
        close: ``(n_bars, n_symbols)``.
        lag: bars from decision to fill: 0 or 1.
    """
    found = []
    for symbol, end in data.listed_until.items():
        column, bar = data.symbols.index(symbol), int(np.searchsorted(data.index, end, side="right"))
        priced = np.flatnonzero(~np.isnan(fill[:bar, column] + close[:bar, column]))
        if bar < len(close) and len(priced):
            closes = close[:bar, column]
            price = float(closes[~np.isnan(closes)][-1])
            found.append(Closing(column, bar, int(priced[-1]) if lag else bar, price))
    return tuple(found)


def closed_out(
    ends: Sequence[Closing], weights: FloatArray, fill: FloatArray, close: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Copies of weights, fill prices and closes, with the targets and the prices that the close-outs need."""
    weights, fill, close = weights.copy(), fill.copy(), close.copy()
    for end in ends:
        ignored = [end.decided, *range(end.bar, len(weights))]
        targets = weights[ignored, end.symbol]
        weights[ignored, end.symbol] = np.where(np.isfinite(targets), 0.0, targets)  # NaN is refused wherever it is
        fill[end.bar, end.symbol] = close[end.bar, end.symbol] = end.price
    return weights, fill, close


def bars_of(ends: Sequence[Closing], n_symbols: int) -> IntArray:
    """``(n_symbols,)`` the bar of each symbol's close-out, -1 for none."""
    bars = np.full(n_symbols, -1, np.int64)
    for end in ends:
        bars[end.symbol] = end.bar
    return bars
