"""The table of target weights that a user gives, and the errors for weights that cannot be used."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rbt_ray.errors import InputError, ShapeError
from rbt_ray.simulate.closings import Listings
from rbt_ray.types import Execution, FloatArray, floats


def weights_table(data: Listings, weights: ArrayLike) -> FloatArray:
    """Returns the weights as a read-only C-contiguous float64 table; copies only if needed."""
    shape = (len(data.index), len(data.symbols))
    try:
        table = np.ascontiguousarray(floats(weights))
    except (TypeError, ValueError) as error:
        raise ShapeError(
            f"`weights` is an array of numbers of shape (n_bars, n_symbols) = {shape}; {error}."
        ) from error
    if np.shape(weights) != shape:
        raise ShapeError(
            f"`weights` has one row a bar and one column a symbol, so shape (n_bars, n_symbols) = {shape}; got "
            f"{np.shape(weights)}. To give all symbols the same weight, use np.broadcast_to(weights, {shape})."
        )
    labels = list(getattr(weights, "columns", ()))
    if labels != list(data.symbols) and set(labels) == set(data.symbols):
        raise ShapeError(
            f"`weights` has the bundle's symbols as columns, in another order: {', '.join(labels)}. Weights are taken "
            "by position: pass weights[list(data.symbols)]."
        )
    table = table.view()
    table.flags.writeable = False
    return table


def unusable_weight(
    data: Listings, weights: FloatArray, prices: FloatArray, bar: int, execution: Execution | None
) -> InputError:
    """Returns the error for the first weight of a bar that is not finite, or for which `prices` has no price."""
    row, symbols, date = weights[bar], data.symbols, date_of(data.index, bar)
    infinite = np.flatnonzero(~np.isfinite(row))
    if len(infinite):
        at = int(infinite[0])
        return InputError(
            f"`weights` are finite numbers; got {row[at]} for {symbols[at]!r} on {date} (bar {bar}). An indicator "
            "is NaN until it has enough bars: compare it (NaN compares false), or use np.nan_to_num(weights)."
        )
    at = int(np.flatnonzero((row != 0) & np.isnan(prices[bar]))[0])
    needed = "a close and an open" if execution == "next_open" else "a close"
    return InputError(
        f"`weights` may differ from 0 only where there is {needed}; got {row[at]:g} for {symbols[at]!r} on {date} "
        f"(bar {bar}), where there is none. Make it 0 there, or pass missing='zero' to ignore it: "
        "either way the last target of the symbol remains until its next price."
    )


def date_of(index: NDArray[np.datetime64], bar: int) -> str:
    """Returns the time of a bar as text."""
    return str(np.datetime_as_string(index[bar], unit="auto"))
