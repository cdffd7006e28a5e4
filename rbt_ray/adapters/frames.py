"""Makes pandas frames of a view's prices, once on each worker for all trials.

A frame shares memory with the bundle if possible, and its values are read-only. Each trial gets a shallow copy, to which it
can add columns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

from rbt_ray.data import times
from rbt_ray.data.memo import ABSENT, Memo
from rbt_ray.errors import ObjectiveError
from rbt_ray.nearest import nearest

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle
    from rbt_ray.data.view import BundleView

Made = TypeVar("Made")
_CACHE = Memo()
"""The cache of this process, a worker, for all its studies."""


def cached(view: BundleView, key: tuple[Any, ...], make: Callable[[], Made], nbytes: int) -> Made:
    """Returns `make()`, called once in each process for each key, bundle and number of bars, and cached up to a limit of memory.

    Args:
        view: the prices that the object is made from.
        key: hashable; names the object and the part of the view.
        make: makes the object.
        nbytes: memory that the object takes in addition to the bundle's.
    """
    whole = (*key, view.version, view.n_bars)
    found = _CACHE.get(whole)
    if found is ABSENT:
        found = make()
        _CACHE.put(whole, found, nbytes)
    made: Made = found
    return made


def index_of(view: BundleView) -> pd.DatetimeIndex:
    """Returns ``(n_bars,)`` times in the time zone of the bundle's source, naive if it had none."""
    index = pd.DatetimeIndex(view.index)
    return index if view.tz is None else index.tz_localize("UTC").tz_convert(times.zone(view.tz))


def field(view: BundleView, name: str, symbol: str | None = None) -> pd.DataFrame | pd.Series[float]:
    """Returns a field as a frame ``(n_bars, n_symbols)`` over the bundle's memory, or as a series ``(n_bars,)`` of one symbol."""
    if symbol is None:
        make = lambda: pd.DataFrame(view[name], index_of(view), list(view.symbols), copy=False)  # noqa: E731
        return cached(view, ("field", name), make, 0).copy(deep=False)
    frame = table(view, symbol)
    series: pd.Series[float] = frame[name].copy(deep=False)
    return series.rename(symbol)


def table(view: BundleView, symbol: str | None = None) -> pd.DataFrame:
    """Returns all fields: for one symbol, a column for each field; for all symbols, a column for each (field, symbol)."""
    nbytes = 8 * view.n_bars * len(view.fields) * (view.n_symbols if symbol is None else 1)
    return cached(view, ("table", symbol), lambda: _table(view, symbol), nbytes).copy(deep=False)


def _table(view: BundleView, symbol: str | None) -> pd.DataFrame:
    if symbol is None:
        fields = [pd.DataFrame(view[name], index_of(view), list(view.symbols), copy=False) for name in view.fields]
        return pd.concat(dict(zip(view.fields, fields, strict=True)), axis=1)
    at = column_of(view, symbol)
    columns = {name: np.ascontiguousarray(view[name][:, at]) for name in view.fields}
    for values in columns.values():
        values.setflags(write=False)
    return pd.DataFrame(columns, index_of(view), copy=False)


def column_of(view: BundleView, symbol: str) -> int:
    """Returns the column of a symbol.

    Raises:
        ObjectiveError: the trial's fidelity leaves the symbol out.
    """
    if symbol not in view.symbols:
        raise ObjectiveError(
            f"`{symbol}` is not among the symbols of this trial, {', '.join(view.symbols)}. With one symbol, set `fidelity` "
            "to 'prefix' or 'blocks', which are shares of the bars."
        )
    return view.symbols.index(symbol)


def check_symbol(symbol: str | None, bundle: Bundle | None) -> None:
    """Refuse a study without prices, or without prices of the symbol.

    Raises:
        ObjectiveError: there is no bundle, or it lacks the symbol.
    """
    if bundle is None:
        raise ObjectiveError("`bundle` is missing: a backtest needs prices. Pass a Bundle or the name of one.")
    if symbol is not None and symbol not in bundle.symbols:
        raise ObjectiveError(f"`symbol` is one of the bundle's; got {symbol!r}: {nearest(symbol, bundle.symbols)}")
