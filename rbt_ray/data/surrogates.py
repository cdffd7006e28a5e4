"""Surrogates of a bundle, for checks of robustness: the same bars with noise, or with their returns in random order.

What a search finds in permuted prices is luck.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rbt_ray.data.bundle import Bundle
from rbt_ray.data.content import PRICES
from rbt_ray.types import FloatArray, IntArray

if TYPE_CHECKING:
    from rbt_ray.data.view import BundleView


def noisy_prices(data: Bundle | BundleView, share: float, seed: int) -> Bundle:
    """Returns a bundle of the same bars with normal noise in the log returns of each symbol, independent of other symbols.

    The deviation of the noise per bar is `share` of the deviation of the symbol's log returns. Half of its variance falls
    between the last close and the open, half between open and close; without opens, all of it between two closes. The noise
    of a symbol adds up to zero, so its first and its last close stay, and holding earns what it did. Highs and lows keep
    their ratio to the higher and the lower of open and close, so no price leaves the range of its bar. A missing value stays
    missing, and other fields stay as they are.

    Noise in the prices themselves would revert on the next bar, and so would give a profit to strategies that trade on
    reversals.

    Args:
        data: a bundle or a view of one.
        share: 0.2 adds a fifth of each symbol's own deviation.
        seed: of the noise.
    """
    rng = np.random.default_rng(seed)
    fields = {name: np.array(data[name]) for name in data.fields}
    close, opens = fields["close"], fields.get("open")
    at_close, at_open = np.ones(close.shape), np.ones(close.shape)
    for column in range(close.shape[1]):
        # Drawn for all bars, so that a missing bar does not change the noise of another one.
        at_open[:, column], at_close[:, column] = _factors(close[:, column], rng.normal(size=(len(close), 2)), share)
    moved = {"close": close * at_close}
    if opens is not None:
        moved["open"] = opens * at_open
    for name, outer in (("high", np.fmax), ("low", np.fmin)):
        if name in fields:
            before = close if opens is None else outer(close, opens)
            after = moved["close"] if opens is None else outer(moved["close"], moved["open"])
            moved[name] = np.where(np.isnan(before), fields[name] * at_open, after * (fields[name] / before))
    if "high" in moved and "low" in moved:  # they may cross where the source has a close outside of the bar's range
        moved["low"] = np.where(moved["low"] > moved["high"], moved["high"], moved["low"])
    return Bundle.from_arrays(
        {**fields, **moved},
        data.index,
        data.symbols,
        tz=data.tz,
        periods_per_year=data.periods_per_year,
        listed_until=data.listed_until,
    )


def _factors(close: FloatArray, noise: FloatArray, share: float) -> tuple[FloatArray, FloatArray]:
    """Returns ``(n_bars,)`` the factors of the open and of the close on each bar, from ``(n_bars, 2)`` standard noise."""
    bars = np.flatnonzero(~np.isnan(close))
    at_open, at_close = np.ones(len(close)), np.ones(len(close))
    if len(bars) < 3:
        return at_open, at_close
    deviation = share * float(np.diff(np.log(close[bars])).std(ddof=1))
    parts = noise[bars] * (deviation / np.sqrt(2.0))
    parts[0] = 0.0
    parts[1:] -= parts[1:].mean()
    total = np.cumsum(parts.sum(axis=1))
    total[-1] = 0.0  # up to rounding it is
    last = np.searchsorted(bars, np.arange(len(close)), side="right") - 1  # the last bar with a close
    at_close[bars] = np.exp(total)
    at_open = np.where(last < 0, 1.0, at_close[bars[last]])  # of a bar without a close: that of the last close
    at_open[bars] = np.exp(total - parts[:, 1])
    return at_open, at_close


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
