"""Calls functions of (prices, parameters): the names of their arguments say which prices they take."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from rbt_ray.adapters import frames
from rbt_ray.errors import ObjectiveError

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle
    from rbt_ray.data.view import BundleView

TABLE, VIEW = "df", "view"
_TAKEN = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY


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
            given[name] = frames.field(view, name, symbol)
        elif name == TABLE:
            given[name] = frames.table(view, symbol)
        elif name == VIEW:
            given[name] = view
    return given


def check(function: Any, names: Collection[str], bundle: Bundle | None, symbol: str | None) -> None:
    """Refuse a function that cannot be called with prices and these parameters.

    Raises:
        ObjectiveError: an argument is neither a parameter nor prices, the function lacks an argument for a parameter, or
            there are no prices.
    """
    frames.check_symbol(symbol, bundle)
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
