"""What a bundle is made of, and the hash of it that is its version."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rbt_ray.data import listings, times
from rbt_ray.data.fields import in_order
from rbt_ray.data.times import TimeArray
from rbt_ray.errors import BundleError
from rbt_ray.types import FloatArray, is_real


@dataclass(frozen=True, slots=True, eq=False)
class Content:
    """Read-only arrays with what is needed to read them.

    Args:
        index: ``(n_bars,)`` datetime64[ns], UTC, strictly increasing.
        symbols: one a column.
        arrays: each ``(n_bars, n_symbols)`` float64, C-contiguous, by field in the order of `in_order`.
        tz: the time zone the timestamps came in; None where they came without one.
        periods_per_year: bars in a year.
        version: sha256 of all of the above and of `listed_until`, in hexadecimal.
        listed_until: the time of the last bar of each symbol whose listing is declared to end; see `listings.checked`.
    """

    index: TimeArray
    symbols: tuple[str, ...]
    arrays: dict[str, FloatArray]
    tz: str | None
    periods_per_year: float
    version: str
    listed_until: Mapping[str, np.datetime64] = dataclasses.field(default_factory=dict)

    def freeze(self) -> Content:
        """The same, every array of it read-only."""
        self.index.setflags(write=False)
        for field, values in self.arrays.items():
            values.setflags(write=False)
            self.arrays[field] = np.asarray(values.data)  # over a buffer that refuses `setflags(write=True)`
        return self

    def digest(self) -> str:
        """The hash of what the arrays hold now."""
        return _hash(self.index, self.symbols, self.arrays, self.tz, self.periods_per_year, self.listed_until)


def make(
    arrays: Mapping[str, FloatArray],
    index: TimeArray,
    symbols: tuple[str, ...],
    tz: str | None,
    periods_per_year: float | None,
    listed_until: Mapping[str, Any] | None = None,
) -> Content:
    """Content from arrays that `checks` has passed; equal values give equal bytes, and so an equal version.

    Volume outside a symbol's life, from its first to its last close, becomes NaN.
    """
    per_year = times.periods_per_year(index) if periods_per_year is None else _positive(periods_per_year)
    index = index.astype("datetime64[ns]")
    fields = {name: _canonical(arrays[name]) for name in in_order(arrays)}
    if "volume" in fields:
        fields["volume"][~_alive(fields["close"])] = np.nan
    ends = listings.checked(listed_until, index, symbols, fields["close"], tz)
    version = _hash(index, symbols, fields, tz, per_year, ends)
    return Content(index, symbols, fields, tz, per_year, version, ends).freeze()


def nanoseconds(listed_until: Mapping[str, np.datetime64]) -> dict[str, int]:
    """The times as JSON can hold them: nanoseconds since 1970."""
    return {symbol: int(end.astype("datetime64[ns]").astype(np.int64)) for symbol, end in listed_until.items()}


def _positive(periods_per_year: float) -> float:
    if not is_real(periods_per_year) or not 0 < periods_per_year < math.inf:
        raise BundleError(
            "`periods_per_year` is the number of bars in a year, above 0 (252 for daily stock prices); "
            f"got {periods_per_year!r}."
        )
    return float(periods_per_year)


def _canonical(values: FloatArray) -> FloatArray:
    """A copy with one kind of zero and one kind of NaN: equal prices must hash equally."""
    copy: FloatArray = np.ascontiguousarray(values, np.float64) + 0.0  # -0.0 + 0.0 is 0.0
    copy[np.isnan(copy)] = np.nan
    return copy


def _alive(close: FloatArray) -> np.ndarray:
    """True from each symbol's first close to its last, ``(n_bars, n_symbols)``."""
    known = ~np.isnan(close)
    listed: np.ndarray = np.logical_or.accumulate(known, axis=0)
    not_delisted = np.logical_or.accumulate(known[::-1], axis=0)[::-1]
    return listed & not_delisted


def _hash(
    index: TimeArray,
    symbols: tuple[str, ...],
    arrays: Mapping[str, FloatArray],
    tz: str | None,
    periods_per_year: float,
    listed_until: Mapping[str, np.datetime64],
) -> str:
    head: dict[str, Any] = {"symbols": symbols, "fields": list(arrays), "tz": tz, "periods_per_year": periods_per_year}
    if listed_until:  # a bundle that declares none has the hash it had before there were declarations
        head["listed_until"] = nanoseconds(listed_until)
    sha = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    sha.update(index.astype("<M8[ns]", copy=False).view("<i8").data)
    for values in arrays.values():
        sha.update(values.astype("<f8", copy=False).data)
    return sha.hexdigest()
