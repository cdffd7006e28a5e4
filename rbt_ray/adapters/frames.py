"""A view's prices as pandas frames, made once on a worker and handed to every trial.

A frame shares memory with the bundle where it can, and cannot be written to: a trial gets a shallow copy, to which it
may add columns.
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
"""Of this process: a worker's, from study to study."""


def cached(view: BundleView, key: tuple[Any, ...], make: Callable[[], Made], nbytes: int) -> Made:
    """What `make` gives, made once a process for each key on each cut of each bundle, while there is room.

    Args:
        view: whose prices it is made of.
        key: hashable; what is made, and of which part of the view.
        make: makes it.
        nbytes: memory it takes beside the bundle's own.
    """
    whole = (*key, view.version, view.n_bars)
    found = _CACHE.get(whole)
    if found is ABSENT:
        found = make()
        _CACHE.put(whole, found, nbytes)
    made: Made = found
    return made


def index_of(view: BundleView) -> pd.DatetimeIndex:
    """``(n_bars,)`` times as the bundle's source had them: in its time zone, naive where it had none."""
    index = pd.DatetimeIndex(view.index)
    return index if view.tz is None else index.tz_localize("UTC").tz_convert(times.zone(view.tz))


def field(view: BundleView, name: str, symbol: str | None = None) -> pd.DataFrame | pd.Series[float]:
    """A field as a frame ``(n_bars, n_symbols)`` over the bundle's own memory; of one symbol, a series ``(n_bars,)``."""
    if symbol is None:
        make = lambda: pd.DataFrame(view[name], index_of(view), list(view.symbols), copy=False)  # noqa: E731
        return cached(view, ("field", name), make, 0).copy(deep=False)
    frame = table(view, symbol)
    series: pd.Series[float] = frame[name].copy(deep=False)
    return series.rename(symbol)


def table(view: BundleView, symbol: str | None = None) -> pd.DataFrame:
    """All fields: of one symbol a column each, of all of them a column a (field, symbol)."""
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
    """The column of a symbol.

    Raises:
        ObjectiveError: this cut of the bundle is without it.
    """
    if symbol not in view.symbols:
        raise ObjectiveError(
            f"`{symbol}` is not among the symbols of this trial, {', '.join(view.symbols)}: with one symbol, let `fidelity` "
            "be a share of the bars ('prefix' or 'blocks'), not of the symbols."
        )
    return view.symbols.index(symbol)


def check_symbol(symbol: str | None, bundle: Bundle | None) -> None:
    """Refuses a study without prices, or without those of the symbol that was asked for.

    Raises:
        ObjectiveError: there are none.
    """
    if bundle is None:
        raise ObjectiveError("`bundle` is missing: a backtest needs prices. Pass a Bundle, or the name of one.")
    if symbol is not None and symbol not in bundle.symbols:
        raise ObjectiveError(f"`symbol` is one of the bundle's; got {symbol!r}: {nearest(symbol, bundle.symbols)}")
