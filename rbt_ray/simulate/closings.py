"""Ends of listings: the bar and the price at which a holding is closed because its symbol is delisted.

A bundle declares the time of a symbol's last bar. The holding is closed on the first bar after it, since until then it is
unknown that there will be no other price. Both accounting modes treat that bar as one with a price, the last close, and a target of
0. No later bar has a price.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rbt_ray.types import BoolArray, FloatArray, IntArray


class Listings(Protocol):
    """The listings of a bundle or of a view."""

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


@dataclass(frozen=True, slots=True, eq=False)
class Closings:
    """The close-outs within some bars, ``(n_ends,)`` each.

    Args:
        columns: the symbols.
        bars: the first bar after the end of each listing.
        decided: the bars whose targets are filled on `bars`, and are therefore set to 0.
        prices: the last closes.
    """

    columns: IntArray
    bars: IntArray
    decided: IntArray
    prices: FloatArray

    def __len__(self) -> int:
        return len(self.columns)

    def bars_of(self, n_symbols: int) -> IntArray:
        """Returns ``(n_symbols,)`` the bar on which each symbol's holding is closed; -1 if there is none."""
        bars = np.empty(n_symbols, np.int64)
        bars.fill(-1)
        if len(self.columns):
            bars[self.columns] = self.bars
        return bars


_NONE = Closings(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))


def closings(data: Listings, fill: FloatArray, close: FloatArray, lag: int) -> Closings:
    """Returns the close-outs within the bars of `data`, without symbols that could not be bought before.

    Args:
        data: the declared ends.
        fill: ``(n_bars, n_symbols)`` fill prices; NaN if there is none.
        close: ``(n_bars, n_symbols)``, without closes after the end of a symbol.
        lag: bars from decision to fill: 0 or 1.
    """
    ends = data.listed_until
    if not ends:
        return _NONE
    columns = np.array([column for column, symbol in enumerate(data.symbols) if symbol in ends])
    times = np.array([ends[data.symbols[column]] for column in columns], "datetime64[ns]")
    bars = np.searchsorted(data.index, times, side="right").astype(np.int64)
    priced = ~np.isnan(fill[:, columns] + close[:, columns])
    within = (bars < len(close)) & priced.any(axis=0)
    columns, bars, priced = columns[within], bars[within], priced[:, within]
    decided = _last(priced) if lag else bars
    prices = close[_last(~np.isnan(close[:, columns])), columns]
    return Closings(columns, bars, decided, prices)


def closed_out(
    ends: Closings, weights: FloatArray, fill: FloatArray, close: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Returns copies of weights, fill prices and closes with the targets and prices of the close-outs."""
    weights, fill, close = weights.copy(), fill.copy(), close.copy()
    fill[ends.bars, ends.columns] = close[ends.bars, ends.columns] = ends.prices
    ignored = np.arange(len(weights))[:, None] >= ends.bars
    ignored[ends.decided, np.arange(len(ends))] = True
    targets = weights[:, ends.columns]
    weights[:, ends.columns] = np.where(
        ignored & np.isfinite(targets), 0.0, targets
    )  # NaN weights stay, and are refused later
    return weights, fill, close


def _last(flags: BoolArray) -> IntArray:
    """Returns ``(n,)`` the last true bar of each column; each must have one."""
    last: IntArray = len(flags) - 1 - np.argmax(flags[::-1], axis=0)
    return last
