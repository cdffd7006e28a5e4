"""Content: the arrays of a bundle, and the hash of them that is its version."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rbt_ray.data import times
from rbt_ray.data.checksums import block_sums, changed_values
from rbt_ray.data.times import TimeArray
from rbt_ray.errors import BundleError
from rbt_ray.nearest import did_you_mean
from rbt_ray.types import FloatArray, is_real

PRICES = ("open", "high", "low", "close")
STANDARD = (*PRICES, "volume")


class MissingFieldError(BundleError, AttributeError):
    """The bundle has no field of that name; an AttributeError too, so that `hasattr` works."""


def ordered_fields(names: Iterable[str]) -> tuple[str, ...]:
    """Returns open, high, low, close and volume first, then the others by name."""
    present = set(names)
    return (*(name for name in STANDARD if name in present), *sorted(present.difference(STANDARD)))


def missing_field(name: object, fields: tuple[str, ...]) -> MissingFieldError:
    """Returns the error for a field that does not exist, with the nearest one that does."""
    hint = did_you_mean(name, fields)
    known = ", ".join(fields)
    return MissingFieldError(f"This bundle has no field {name!r}; its fields are {known}{': ' + hint if hint else '.'}")


class Fields:
    """Has the standard fields as attributes, each ``(n_bars, n_symbols)`` float64 and read-only."""

    __slots__ = ()

    def __getitem__(self, field: str) -> FloatArray:
        """Returns the values of a field; raises `MissingFieldError` if there is no such field."""
        raise NotImplementedError

    @property
    def high(self) -> FloatArray:
        """Highest prices of each bar."""
        return self["high"]

    @property
    def low(self) -> FloatArray:
        """Lowest prices of each bar."""
        return self["low"]

    @property
    def close(self) -> FloatArray:
        """Closing prices; every bundle has them."""
        return self["close"]

    @property
    def volume(self) -> FloatArray:
        """Units traded in each bar."""
        return self["volume"]


@dataclass(frozen=True, slots=True, eq=False)
class Content:
    """Read-only arrays with their symbols, times and hash.

    Args:
        index: ``(n_bars,)`` datetime64[ns], UTC, strictly increasing.
        symbols: one for each column.
        arrays: each ``(n_bars, n_symbols)`` float64, C-contiguous, by field in the order of `ordered_fields`.
        tz: the time zone of the source's timestamps; None if they had none.
        periods_per_year: bars in a year.
        version: sha256 of all of the above and of `listed_until`, in hexadecimal.
        listed_until: the time of the last bar of each delisted symbol; see `Bundle.from_arrays`.
        sums: checksums of the blocks of each array, "index" included; None for a file of an earlier version.
    """

    index: TimeArray
    symbols: tuple[str, ...]
    arrays: dict[str, FloatArray]
    tz: str | None
    periods_per_year: float
    version: str
    listed_until: Mapping[str, np.datetime64] = dataclasses.field(default_factory=dict)
    sums: Mapping[str, bytes] | None = None

    def freeze(self) -> Content:
        """Make every array read-only, and return self."""
        self.index.setflags(write=False)
        for field, values in self.arrays.items():
            values.setflags(write=False)
            self.arrays[field] = np.asarray(values.data)  # a view of a buffer that refuses `setflags(write=True)`
        return self

    def relocated(self, copy: Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]) -> Content:
        """Returns the same content with the arrays that `copy` returns: `read_only_pages.remap` or `read_only_pages.copy`.

        Raises:
            OSError: the system cannot map memory this way.
        """
        index, *fields = copy({"index": self.index, **self.arrays}).values()
        return replace(self, index=index, arrays=dict(zip(self.arrays, fields, strict=True))).freeze()

    def digest(self) -> str:
        """Returns the hash of the arrays' present values."""
        return _hash(self.index, self.symbols, self.arrays, self.tz, self.periods_per_year, self.listed_until)

    def changed(self) -> str | None:
        """Returns which values have changed since it was made, as "`close`, bars 0 to 99"; None if none have.

        Reads everything, at about 10 GB/s. Without `sums`, computes the content hash, at 0.5 to 2 GB/s.
        """
        if self.sums is None:
            return None if self.digest() == self.version else "its prices"
        for name, values in (("index", self.index), *self.arrays.items()):
            found = changed_values(values, self.sums[name])
            if found is not None:
                width = values.size // len(values)
                return f"`{name}`, bars {found[0] // width:,} to {found[-1] // width:,}"
        return None


def make_content(
    arrays: Mapping[str, FloatArray],
    index: TimeArray,
    symbols: tuple[str, ...],
    tz: str | None,
    periods_per_year: float | None,
    listed_until: Mapping[str, Any] | None = None,
) -> Content:
    """Makes content of arrays that `series.check_prices` has passed; equal values get equal bytes and an equal version.

    Volume before a symbol's first close and after its last becomes NaN.
    """
    per_year = times.periods_per_year(index) if periods_per_year is None else _positive(periods_per_year)
    index = index.astype("datetime64[ns]")
    fields = {name: _canonical(arrays[name]) for name in ordered_fields(arrays)}
    if "volume" in fields:
        fields["volume"][~_alive(fields["close"])] = np.nan
    ends = _ends_of_listings(listed_until, index, symbols, fields["close"], tz)
    version = _hash(index, symbols, fields, tz, per_year, ends)
    return Content(index, symbols, fields, tz, per_year, version, ends, checksums_of(index, fields)).freeze()


def checksums_of(index: TimeArray, arrays: Mapping[str, FloatArray]) -> dict[str, bytes]:
    """Returns the checksums of the blocks of the index and of each field, by name."""
    return {"index": block_sums(index), **{name: block_sums(values) for name, values in arrays.items()}}


def nanoseconds(listed_until: Mapping[str, np.datetime64]) -> dict[str, int]:
    """Returns the times for JSON, as nanoseconds since 1970."""
    return {symbol: int(end.astype("datetime64[ns]").astype(np.int64)) for symbol, end in listed_until.items()}


def _ends_of_listings(
    listed_until: Mapping[str, Any] | None,
    index: TimeArray,
    symbols: tuple[str, ...],
    close: FloatArray,
    tz: str | None,
) -> dict[str, np.datetime64]:
    """Returns the time of the last bar of each symbol whose listing ends, datetime64[ns] in UTC, in the order of `symbols`.

    Args:
        listed_until: the time of a symbol's last bar, by symbol: a datetime64, which is UTC as `index` is; or a date,
            datetime or ISO text, in `tz` if it has no time zone. It may lie outside of `index`.
        index: ``(n_bars,)`` UTC.
        symbols: one for each column.
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
            raise BundleError(f"`listed_until` has {symbol!r}, which is not a symbol of the bundle. Remove it.")
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
                f"`listed_until` of {symbol} is {times.text(end, tz)}, but it has a close on {times.text(bar, tz)}. "
                "Declare the time of its last bar, or remove the later prices."
            )
        ends[symbol] = end
    return {symbol: ends[symbol] for symbol in symbols if symbol in ends}


def _positive(periods_per_year: float) -> float:
    if not is_real(periods_per_year) or not 0 < periods_per_year < math.inf:
        raise BundleError(
            "`periods_per_year` is the number of bars in a year, above 0 (252 for daily stock prices); "
            f"got {periods_per_year!r}."
        )
    return float(periods_per_year)


def _canonical(values: FloatArray) -> FloatArray:
    """Returns a copy without negative zeros and with one kind of NaN: equal prices must hash equally."""
    copy: FloatArray = np.ascontiguousarray(values, np.float64) + 0.0  # -0.0 + 0.0 is 0.0
    copy[np.isnan(copy)] = np.nan
    return copy


def _alive(close: FloatArray) -> np.ndarray:
    """Returns ``(n_bars, n_symbols)``, True from each symbol's first close to its last."""
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
    if listed_until:  # without declarations the hash equals that of versions before declarations existed
        head["listed_until"] = nanoseconds(listed_until)
    sha = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    sha.update(index.astype("<M8[ns]", copy=False).view("<i8").data)
    for values in arrays.values():
        sha.update(values.astype("<f8", copy=False).data)
    return sha.hexdigest()
