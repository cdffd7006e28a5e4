"""Prices whose bars are in random order: what a search finds in them is luck."""

from __future__ import annotations

import numpy as np

from rbt_ray.data.bundle import Bundle
from rbt_ray.data.content import PRICES
from rbt_ray.types import FloatArray, IntArray


def permuted_bars(bundle: Bundle, n_bars: int, seed: int) -> Bundle:
    """Returns the first `n_bars` bars with their returns in random order.

    A bar takes with it the prices of all symbols relative to their last closes, and its other values. So the returns of a
    bar, its range, the correlation of symbols and the total return stay, and their order does not. Bars are exchanged only
    with bars on which the same symbols have values, so that every hole and listing stays where it is.

    Args:
        bundle: the prices.
        n_bars: the number of bars to use.
        seed: of the order.
    """
    fields = {name: np.array(bundle[name][:n_bars]) for name in bundle.fields}
    close = fields["close"]
    before = _last_close(close)
    source = _order(fields, before, np.random.default_rng(seed))
    unlisted = np.isnan(before)
    ratios = {name: values / before for name, values in fields.items() if name in PRICES}
    moved = {name: values[source] for name, values in fields.items()}
    moved["close"] = _chained(close, ratios["close"][source])
    before = _last_close(moved["close"])
    for name, ratio in ratios.items():
        if name != "close":
            moved[name] = np.where(unlisted, moved[name], before * ratio[source])
    return Bundle.from_arrays(
        moved,
        bundle.index[:n_bars],
        bundle.symbols,
        tz=bundle.tz,
        periods_per_year=bundle.periods_per_year,
        listed_until={name: end for name, end in bundle.listed_until.items() if end < bundle.index[n_bars - 1]},
    )


def _last_close(close: FloatArray) -> FloatArray:
    """Returns ``(n_bars, n_symbols)`` the last close before each bar; NaN before the first."""
    rows = np.where(np.isnan(close), 0, np.arange(1, len(close) + 1)[:, None])
    last = np.maximum.accumulate(rows, axis=0)
    last = np.concatenate([np.zeros((1, close.shape[1]), np.int64), last[:-1]])
    found: FloatArray = np.where(last > 0, np.take_along_axis(close, np.maximum(last - 1, 0), axis=0), np.nan)
    return found


def _order(fields: dict[str, FloatArray], before: FloatArray, rng: np.random.Generator) -> IntArray:
    """Returns ``(n_bars,)`` the bar that takes the place of each, with the same values missing."""
    missing = np.concatenate([np.isnan(values) for values in (*fields.values(), before)], axis=1)
    _, group = np.unique(np.packbits(missing, axis=1), axis=0, return_inverse=True)
    source = np.arange(len(before))
    for number in range(int(group.max()) + 1):
        bars = np.flatnonzero(group.ravel() == number)
        source[bars] = rng.permutation(bars)
    return source


def _chained(close: FloatArray, ratio: FloatArray) -> FloatArray:
    """Returns closes that begin as `close` does, and change by ``ratio``, ``(n_bars, n_symbols)``."""
    made = np.full(close.shape, np.nan)
    for column in range(close.shape[1]):
        bars = np.flatnonzero(~np.isnan(close[:, column]))
        if len(bars):
            made[bars, column] = np.cumprod(np.concatenate([close[bars[:1], column], ratio[bars[1:], column]]))
    return made
