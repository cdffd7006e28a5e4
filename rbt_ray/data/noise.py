"""Prices with random noise added to their changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rbt_ray.data.bundle import Bundle
from rbt_ray.types import FloatArray

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
