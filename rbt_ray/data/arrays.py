"""Checks plain arrays and makes the content of a bundle of them, for `Bundle.from_arrays`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rbt_ray.data import content, series, times
from rbt_ray.data.content import Content
from rbt_ray.data.series import Origin, Series
from rbt_ray.data.times import TimeArray
from rbt_ray.errors import BundleError
from rbt_ray.types import FloatArray, floats

_ORIGIN = Origin("the arrays")


def content_of(
    fields: Mapping[str, ArrayLike],
    index: Any,
    symbols: Sequence[str],
    tz: str | None,
    periods_per_year: float | None,
    listed_until: Mapping[str, Any] | None = None,
) -> Content:
    """Returns the content of checked arrays; see `Bundle.from_arrays`."""
    if getattr(index, "tz", None) is not None:  # pandas' DatetimeIndex, the only array with a time zone
        tz = str(index.tz) if tz is None else tz
        index = index.tz_convert("UTC").tz_localize(None)
    index = _index(index)
    names = _symbols(symbols)
    tz = _zone(tz)
    arrays = {_name(name): _values(name, values, (len(index), len(names))) for name, values in fields.items()}
    rows = np.arange(len(index))
    for position, symbol in enumerate(names):
        columns = {name: values[:, position] for name, values in arrays.items()}
        series.check_prices(Series(symbol, _ORIGIN, index, tz, columns, rows))
    if np.isnan(arrays["close"]).all():
        raise BundleError(f"`close` has no price of any symbol on any of the {len(index):,} bars.")
    return content.make_content(arrays, index, names, tz, periods_per_year, listed_until)


def _index(index: Any) -> TimeArray:
    try:
        dtype = index.dtype if hasattr(index, "dtype") else np.asarray(index).dtype
        if getattr(dtype, "kind", "O") not in "MOUS":
            raise TypeError(f"values of type {dtype} are not times, or are counts of an unknown unit")
        if np.ma.is_masked(index):
            raise TypeError("some are masked")
        stamps: TimeArray = np.asarray(index, "datetime64[ns]")
        years = np.asarray(index, "datetime64[s]").astype("datetime64[Y]").astype(np.int64) + 1970
    except (ValueError, TypeError, OverflowError) as error:
        raise BundleError(f"`index` holds UTC timestamps (datetime64); got {type(index).__name__}: {error}.") from None
    outside = np.flatnonzero(~np.isnat(stamps) & ((years < 1678) | (years > 2261)))
    if len(outside):
        raise BundleError(f"`index` has the year {years.flat[outside[0]]}, which is not between 1678 and 2261.")
    if stamps.ndim != 1 or not len(stamps) or np.isnat(stamps).any():
        raise BundleError(f"`index` is one timestamp a bar, none missing, at least one; got shape {stamps.shape}.")
    wrong = np.flatnonzero(stamps[1:] <= stamps[:-1])
    if len(wrong):
        bar = int(wrong[0]) + 1
        raise BundleError(f"`index` must increase from bar to bar; bar {bar} ({times.text(stamps[bar])}) does not.")
    return stamps


def _symbols(symbols: Sequence[str]) -> tuple[str, ...]:
    names = tuple(symbols)
    if isinstance(symbols, str) or not names or not all(isinstance(name, str) and name for name in names):
        raise BundleError(f"`symbols` is a list of names, one a column; got {symbols!r}.")
    twice = [name for name in names if names.count(name) > 1] if len(set(names)) < len(names) else []
    if twice:
        raise BundleError(f"`symbols` has {twice[0]!r} more than once; each column needs a name of its own.")
    return names


def _zone(tz: str | None) -> str | None:
    try:
        times.zone(tz)
    except ValueError:
        raise BundleError(f"`tz` is the name of a time zone, such as 'America/New_York'; got {tz!r}.") from None
    return tz


def _name(name: object) -> str:
    if not isinstance(name, str) or not name or name == "index":
        raise BundleError(f"A field's name is a string, not empty and not 'index'; got {name!r}.")
    return name


def _values(name: str, values: ArrayLike, shape: tuple[int, int]) -> FloatArray:
    try:
        array = floats(values)
    except (ValueError, TypeError) as error:
        raise BundleError(f"Field `{name}` is an array of numbers: {error}.") from None
    if array.shape != shape:
        raise BundleError(f"Field `{name}` has shape {array.shape}; with this index and symbols it must be {shape}.")
    return array
