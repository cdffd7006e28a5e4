"""Checks the ends of listings that a bundle declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rbt_ray.data import times
from rbt_ray.data.times import TimeArray
from rbt_ray.errors import BundleError
from rbt_ray.types import FloatArray


def checked(
    listed_until: Mapping[str, Any] | None,
    index: TimeArray,
    symbols: tuple[str, ...],
    close: FloatArray,
    tz: str | None,
) -> dict[str, np.datetime64]:
    """Returns the last moment of each listing that ends, datetime64[ns] in UTC, in the order of `symbols`.

    Args:
        listed_until: the time of a symbol's last bar, by symbol: a datetime64, which is UTC as `index` is; or a date,
            datetime or ISO text, which without a time zone is one of `tz`. It may lie outside of `index`.
        index: ``(n_bars,)`` UTC.
        symbols: one a column.
        close: ``(n_bars, n_symbols)``.
        tz: the time zone of the bundle.

    Raises:
        BundleError: a symbol is not in the bundle, a time cannot be read, or a symbol has a close after its end.
    """
    if listed_until is None:
        return {}
    if not isinstance(listed_until, Mapping):
        raise BundleError(
            "`listed_until` is a mapping from symbols to the times of their last bars, such as "
            f"{{'ENRN': '2001-11-29'}}; got {type(listed_until).__name__}."
        )
    ends: dict[str, np.datetime64] = {}
    columns = {symbol: column for column, symbol in enumerate(symbols)}
    for symbol, value in listed_until.items():
        if symbol not in columns:
            raise BundleError(f"`listed_until` has {symbol!r}, which is no symbol of the bundle. Remove it.")
        end = value.astype("datetime64[ns]") if isinstance(value, np.datetime64) else times.instant(value, tz)
        if end is None or np.isnat(end):
            raise BundleError(
                f"`listed_until` of {symbol} is the time of its last bar ('2001-11-29', or '2001-11-29T16:00'); "
                f"got {value!r}."
            )
        after = int(np.searchsorted(index, end, side="right"))
        later = np.flatnonzero(~np.isnan(close[after:, columns[symbol]]))
        if len(later):
            bar = index[after + later[0]]
            raise BundleError(
                f"`listed_until` of {symbol} is {times.text(end, tz)}, and it has a close on {times.text(bar, tz)}. "
                "Declare the time of its last bar, or remove the later prices."
            )
        ends[symbol] = end
    return {symbol: ends[symbol] for symbol in symbols if symbol in ends}
