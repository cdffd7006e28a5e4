"""Prices for a user's strategy: pandas frames of a view, and those of them that a function's arguments name.

A frame is made once on each worker for all trials. It shares memory with the bundle if possible, and its values are read-only.
Each trial gets a shallow copy, to which it can add columns.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
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
TABLE, VIEW = "df", "view"
_TAKEN = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY


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


def price_arguments(
    function: Callable[..., Any], view: BundleView, symbol: str | None, names: Collection[str]
) -> dict[str, Any]:
    """Returns the prices that `function` takes, by argument.

    An argument with the name of a field gets that field, `df` gets all fields, `view` the view itself. With a `symbol`,
    fields are series and `df` has a column for each field. Without one, fields have a column for each symbol and `df` for
    each (field, symbol).

    Args:
        function: the user's function.
        view: the trial's prices.
        symbol: the symbol to use; None: all.
        names: the names of the parameters, which take precedence over prices of the same name.
    """
    wanted = [name for name in _arguments(function) if name not in names]
    given: dict[str, Any] = {}
    for name in wanted:
        if name in view.fields:
            given[name] = field(view, name, symbol)
        elif name == TABLE:
            given[name] = table(view, symbol)
        elif name == VIEW:
            given[name] = view
    return given


def check_arguments(function: Any, names: Collection[str], bundle: Bundle | None, symbol: str | None) -> None:
    """Refuse a function that cannot be called with prices and these parameters.

    Raises:
        ObjectiveError: an argument is neither a parameter nor prices, the function lacks an argument for a parameter, or
            there are no prices.
    """
    check_symbol(symbol, bundle)
    assert bundle is not None
    arguments = _arguments(function)
    shown = f"{getattr(function, '__name__', function)}{inspect.signature(function)}"
    for name, argument in arguments.items():
        known = name in names or name in bundle.fields or name in (TABLE, VIEW)
        if not known and argument.default is inspect.Parameter.empty:
            raise ObjectiveError(
                f"`{shown}`: the argument `{name}` is neither a parameter of the space nor prices. Prices are called "
                f"{', '.join(bundle.fields)} (a field), `{TABLE}` (all fields) or `{VIEW}` (the bundle's view)."
            )
    takes_any = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values())
    spare = [] if takes_any else sorted(set(names) - set(arguments))
    if spare:
        raise ObjectiveError(
            f"`{shown}` has no argument `{spare[0]}`, which is a parameter of the space. Add the argument, or remove the parameter."
        )


def check_function(function: Any, what: str) -> None:
    """Refuse an object that cannot be called.

    Raises:
        ObjectiveError: `function` is not callable.
    """
    if not callable(function):
        raise ObjectiveError(f"`function` is {what}; got {function!r} of type {type(function).__name__}.")


def _arguments(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return {name: p for name, p in inspect.signature(function).parameters.items() if p.kind in _TAKEN}
