"""What a bundle is made of, and the hash of it that is its version."""

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
    """The bundle has no field of that name; an AttributeError too, so that `hasattr` answers."""


def ordered_fields(names: Iterable[str]) -> tuple[str, ...]:
    """Open, high, low, close and volume first, then the others by name."""
    present = set(names)
    return (*(name for name in STANDARD if name in present), *sorted(present.difference(STANDARD)))


def missing_field(name: object, fields: tuple[str, ...]) -> MissingFieldError:
    """The error for a field that is not there, naming the nearest one that is."""
    hint = did_you_mean(name, fields)
    its = ", ".join(fields)
    return MissingFieldError(f"This bundle has no field {name!r}; its fields are {its}{': ' + hint if hint else '.'}")


class Fields:
    """Reads the usual fields as attributes, each ``(n_bars, n_symbols)`` float64 and read-only."""

    __slots__ = ()

    def __getitem__(self, field: str) -> FloatArray:
        """Values of any field; `MissingFieldError` where there is none of that name."""
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
    """Read-only arrays with what is needed to read them.

    Args:
        index: ``(n_bars,)`` datetime64[ns], UTC, strictly increasing.
        symbols: one a column.
        arrays: each ``(n_bars, n_symbols)`` float64, C-contiguous, by field in the order of `ordered_fields`.
        tz: the time zone the timestamps came in; None where they came without one.
        periods_per_year: bars in a year.
        version: sha256 of all of the above and of `listed_until`, in hexadecimal.
        listed_until: the time of the last bar of each symbol whose listing is declared to end; see `Bundle.from_arrays`.
        sums: of each array, "index" included, the checksums of its blocks; None for a file of an earlier version.
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
        """The same, every array of it read-only."""
        self.index.setflags(write=False)
        for field, values in self.arrays.items():
            values.setflags(write=False)
            self.arrays[field] = np.asarray(values.data)  # over a buffer that refuses `setflags(write=True)`
        return self

    def relocated(self, place: Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]) -> Content:
        """The same content, with its arrays where `place` puts them: `read_only_pages.remap` or `copy`.

        Raises:
            OSError: the system cannot do so.
        """
        index, *fields = place({"index": self.index, **self.arrays}).values()
        return replace(self, index=index, arrays=dict(zip(self.arrays, fields, strict=True))).freeze()

    def digest(self) -> str:
        """The hash of what the arrays hold now."""
        return _hash(self.index, self.symbols, self.arrays, self.tz, self.periods_per_year, self.listed_until)

    def changed(self) -> str | None:
        """Returns which values differ from those it was made with, as "`close`, bars 0 to 99"; None if none do.

        It reads everything, at about 10 GB/s; without `sums` it computes the content hash, at 0.5 to 2 GB/s.
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
    """Content from arrays that `checks` has passed; equal values give equal bytes, and so an equal version.

    Volume outside a symbol's life, from its first to its last close, becomes NaN.
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
    """The checksums of the blocks of the index and of each field, by name."""
    return {"index": block_sums(index), **{name: block_sums(values) for name, values in arrays.items()}}


def nanoseconds(listed_until: Mapping[str, np.datetime64]) -> dict[str, int]:
    """The times as JSON can hold them: nanoseconds since 1970."""
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
