"""Bundle: read-only prices of symbols on common bars, with a content hash, in memory or in one Arrow file."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike

from rbt_ray.data import arrow_file, times
from rbt_ray.data.content import Content, Fields, missing_field
from rbt_ray.data.times import TimeArray
from rbt_ray.errors import BundleError
from rbt_ray.html_text import escape
from rbt_ray.os_errors import explain_os_errors
from rbt_ray.types import FloatArray

if TYPE_CHECKING:
    from rbt_ray.data.memo import Memo
    from rbt_ray.data.view import BundleView


class Opener(Protocol):
    """The type of `Bundle.open` on the class."""

    def __call__(self, path: str | Path, *, verify: bool = False) -> Bundle:
        """See `open_bundle`."""
        ...


@explain_os_errors()
def open_bundle(path: str | Path, *, verify: bool = False) -> Bundle:
    """Memory-map a file that `Bundle.save` wrote: it takes milliseconds, and all processes share one copy.

    Args:
        path: the file. It may be deleted while it is mapped (not on Windows), but must not be changed.
        verify: whether to read everything and compare it with the content hash. Otherwise only the head of the file is
            compared with its digest: workers open files that the driver has verified.

    Raises:
        BundleError: the file does not exist, is not a bundle, or is damaged.
    """
    return Bundle(*arrow_file.read(Path(path), verify=verify), path=Path(path).absolute())


class _Open:
    """`Bundle.open(path)` on the class, opening prices on an instance: both names are public."""

    @overload
    def __get__(self, bundle: None, owner: type[Bundle]) -> Opener: ...
    @overload
    def __get__(self, bundle: Bundle, owner: type[Bundle]) -> FloatArray: ...
    def __get__(self, bundle: Bundle | None, owner: type[Bundle]) -> Opener | FloatArray:
        return open_bundle if bundle is None else bundle["open"]


class Bundle(Fields):
    """Prices of `n_symbols` symbols on `n_bars` bars, immutable.

    Made by `Bundle.from_frame`, `Bundle.from_arrays`, `Bundle.open`, `rbt.ingest` and `rbt.load_bundle`. The fields
    are `bundle.open`, `high`, `low`, `close`, `volume` and `bundle["name"]`: read-only float64 arrays
    ``(n_bars, n_symbols)``, NaN where a symbol has no value. Bundles with equal contents are equal.

    Attributes:
        name: the name it is registered under, or None.
        version: sha256 of the content, without name and metadata, in hexadecimal.
        index: ``(n_bars,)`` datetime64[ns], UTC.
        tz: the time zone of the source's timestamps; None if they had none.
        symbols: one for each column.
        fields: those of open, high, low, close and volume that are present, then the others by name.
        n_bars: number of bars.
        n_symbols: number of symbols.
        periods_per_year: bars in a year, to annualise.
        listed_until: the time of the last bar, datetime64[ns] in UTC, of each symbol that is declared delisted.
        metadata: source, licence, notes.
        path: the file it is mapped from, or None.
        nbytes: bytes of all fields.
    """

    __slots__ = ("_content", "metadata", "name", "path")

    _content: Content
    name: str | None
    metadata: dict[str, str]
    path: Path | None

    def __init__(
        self, content: Content, name: str | None, metadata: Mapping[str, str] | None, *, path: Path | None = None
    ) -> None:
        notes = {str(key): str(value) for key, value in (metadata or {}).items()}
        for slot, value in (("_content", content), ("name", name), ("metadata", notes), ("path", path)):
            object.__setattr__(self, slot, value)

    open = _Open()

    @classmethod
    @explain_os_errors()
    def from_frame(
        cls,
        frame: Any,
        *,
        name: str | None = None,
        periods_per_year: float | None = None,
        metadata: Mapping[str, str] | None = None,
        listed_until: Mapping[str, Any] | None = None,
    ) -> Bundle:
        """Make a bundle of a pandas, polars or pyarrow frame, long or wide, with rows in any order.

        Args:
            frame: long: columns ``date`` (or ``timestamp``), ``symbol`` and fields; ``close`` is required.
                Wide: an index or column of dates, and a column of closes for each symbol or columns
                ``(field, symbol)`` or ``(symbol, field)``.
                Dates without a time zone are UTC.
            name: the bundle's name.
            periods_per_year: bars in a year; None infers it (`times.periods_per_year`): 252 for daily bars.
            metadata: source, licence, notes.
            listed_until: delisted symbols, with the time of their last bar. Their holdings are closed on the next bar at
                their last close, and later targets are ignored (`rbt_ray.simulate`). Holdings of other symbols are carried
                to the end.

        Raises:
            BundleError: the data cannot be used; the message names symbol and row.
            ResourceError: there is not enough memory.
        """
        from rbt_ray.data import frames

        source = frames.read(frame)
        made = source.content(periods_per_year=periods_per_year, listed_until=listed_until)
        return cls(made, name, {**source.notes, **(metadata or {})})

    @classmethod
    @explain_os_errors()
    def from_arrays(
        cls,
        fields: Mapping[str, ArrayLike],
        index: ArrayLike,
        symbols: Sequence[str],
        *,
        tz: str | None = None,
        name: str | None = None,
        periods_per_year: float | None = None,
        metadata: Mapping[str, str] | None = None,
        listed_until: Mapping[str, Any] | None = None,
    ) -> Bundle:
        """Make a bundle of arrays, which are copied.

        Args:
            fields: ``close`` and any others, each ``(n_bars, n_symbols)``; NaN where a symbol has no value. A symbol
                may have no value on any bar, as in a window before it is listed.
            index: ``(n_bars,)`` strictly increasing UTC timestamps, or a pandas index with a time zone.
            symbols: one for each column.
            tz: the time zone to show dates in; None takes that of the index.
            name: the bundle's name.
            periods_per_year: bars in a year; None infers it: 252 for daily bars.
            metadata: source, licence, notes.
            listed_until: as in `from_frame`.

        Raises:
            BundleError: the data cannot be used; the message names symbol and row.
        """
        from rbt_ray.data import arrays

        made = arrays.content_of(fields, index, symbols, tz, periods_per_year, listed_until)
        return cls(made, name, metadata)

    def save(self, path: str | Path) -> None:
        """Write the bundle to one Arrow IPC file; readers of `path` see the old file or the complete new one."""
        arrow_file.write(Path(path), self._content, self.name, self.metadata)

    def view(self, n_bars: int | None = None, memo: Memo | None = None) -> BundleView:
        """Returns the first `n_bars` bars (None: all), with a cache of what is derived from them.

        Args:
            n_bars: from 1 to the bundle's own.
            memo: the cache to use; None makes a new one.

        Raises:
            BundleError: `n_bars` is not a whole number from 1 to the bundle's own.
        """
        from rbt_ray.data.memo import Memo
        from rbt_ray.data.view import BundleView

        try:
            n = self.n_bars if n_bars is None else operator.index(n_bars)
        except TypeError:
            n = 0
        if not 1 <= n <= self.n_bars:
            raise BundleError(f"`n_bars` is a whole number from 1 to the bundle's {self.n_bars}; got {n_bars!r}.")
        return BundleView(self, n, Memo() if memo is None else memo)

    @property
    def content(self) -> Content:
        """The arrays and what is needed to read them, for transports that rebuild the Bundle in another process."""
        return self._content

    @property
    def version(self) -> str:
        """The sha256 of the content."""
        return self._content.version

    @property
    def index(self) -> TimeArray:
        """``(n_bars,)`` datetime64[ns], UTC."""
        return self._content.index

    @property
    def tz(self) -> str | None:
        """The time zone of the source's timestamps; None if they had none."""
        return self._content.tz

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbol of each column."""
        return self._content.symbols

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields."""
        return tuple(self._content.arrays)

    @property
    def n_bars(self) -> int:
        """Number of bars."""
        return len(self._content.index)

    @property
    def n_symbols(self) -> int:
        """Number of symbols."""
        return len(self._content.symbols)

    @property
    def periods_per_year(self) -> float:
        """Bars in a year."""
        return self._content.periods_per_year

    @property
    def listed_until(self) -> Mapping[str, np.datetime64]:
        """The time of the last bar of each symbol that is declared delisted."""
        return MappingProxyType(self._content.listed_until)

    @property
    def nbytes(self) -> int:
        """Bytes of all fields."""
        return sum(values.nbytes for values in self._content.arrays.values())

    def __getitem__(self, field: str) -> FloatArray:
        """Returns the values of a field; raises `MissingFieldError` if the bundle has no such field."""
        try:
            return self._content.arrays[field]
        except (KeyError, TypeError):
            raise missing_field(field, self.fields) from None

    def __setattr__(self, attribute: str, value: object) -> NoReturn:
        raise AttributeError(f"A bundle cannot be changed: make another with Bundle.from_arrays (`{attribute}`).")

    def __delattr__(self, attribute: str) -> NoReturn:
        raise AttributeError(f"A bundle cannot be changed: make another with Bundle.from_arrays (`{attribute}`).")

    def __eq__(self, other: object) -> bool:
        return self.version == other.version if isinstance(other, Bundle) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.version)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.path is not None:  # processes share the file; arrays would be copied into each of them
            return _reopen, (self.path, self.version)
        return _revive, (self._content, self.name, self.metadata)

    def _facts(self) -> dict[str, str]:
        start, end = (times.text(self.index[bar], self.tz) for bar in (0, -1))
        shown = ", ".join(self.symbols[:8]) + (", ..." if self.n_symbols > 8 else "")
        facts = {
            "bars": f"{self.n_bars:,} from {start} to {end}" + (f" ({self.tz})" if self.tz else ""),
            "symbols": f"{self.n_symbols:,}: {shown}",
            "fields": ", ".join(self.fields),
            "periods a year": f"{self.periods_per_year:g}",
            "version": self.version[:12],
        }
        if self.listed_until:
            ends = (f"{symbol} until {times.text(end, self.tz)}" for symbol, end in self.listed_until.items())
            facts["listed"] = ", ".join(ends)
        return facts | {key: self.metadata[key] for key in ("source", "licence") if key in self.metadata}

    def __repr__(self) -> str:
        start, end = (times.text(self.index[bar], self.tz) for bar in (0, -1))
        zone = f" ({self.tz})" if self.tz else ""
        return (
            f"<Bundle {self.name or 'unnamed'}: {self.n_bars:,} bars from {start} to {end}{zone}, "
            f"{self.n_symbols:,} symbols, {', '.join(self.fields)}>"
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{escape(key)}</th><td>{escape(value)}</td></tr>" for key, value in self._facts().items()
        )
        return f"<table><caption>Bundle {escape(self.name or 'unnamed')}</caption>{rows}</table>"


def with_fields(bundle: Bundle, fields: Mapping[str, ArrayLike], index: ArrayLike) -> Bundle:
    """Returns an unnamed bundle of other values for the same symbols."""
    year, listed_until = bundle.periods_per_year, bundle.listed_until
    return Bundle.from_arrays(
        fields, index, bundle.symbols, tz=bundle.tz, periods_per_year=year, listed_until=listed_until
    )


def _reopen(path: Path, version: str) -> Bundle:
    return FileRef(path, version).open()


def _revive(content: Content, name: str | None, metadata: dict[str, str]) -> Bundle:
    return Bundle(content.freeze(), name, metadata)  # unpickled arrays are writeable


@dataclass(frozen=True, slots=True)
class FileRef:
    """A bundle's file and the version it must have: a small, picklable reference for processes of one machine.

    Args:
        path: the Arrow file.
        version: the content hash.
    """

    path: Path
    version: str

    def open(self) -> Bundle:
        """Returns the bundle, memory-mapped and read-only.

        Raises:
            BundleError: the file is gone, damaged, or has another version.
        """
        bundle = Bundle.open(self.path)
        if bundle.version != self.version:
            raise BundleError(
                f"`{self.path}` was version {self.version[:12]} and is now {bundle.version[:12]}: "
                "the file was overwritten. Load the bundle again."
            )
        return bundle


_BundleState: TypeAlias = tuple[str, tuple[int, ...] | None]
"""A bundle's version and the device, inode, size and times of its file; None for one without a file."""


class PriceChecker:
    """Compares bundles with the checksums they were made with, and remembers those that passed in this process."""

    def __init__(self) -> None:
        self._passed: dict[Path | None, _BundleState] = {}

    def changed(self, bundle: Bundle, *, again: bool) -> str | None:
        """Returns which values differ from those the bundle was made with, as text for a message; None if none do.

        Args:
            bundle: the prices.
            again: whether to read a bundle again that passed before and whose file has the same size and times as then.
        """
        state = _state_of(bundle)
        if not again and self._passed.get(bundle.path) == state:
            return None
        where = bundle.content.changed()
        if where is None:
            self._passed[bundle.path] = state
        else:
            self._passed.pop(bundle.path, None)
        return where


def _state_of(bundle: Bundle) -> _BundleState:
    if bundle.path is None:
        return bundle.version, None
    try:
        found = bundle.path.stat()
    except OSError:  # removed while it is mapped
        return bundle.version, ()
    return bundle.version, (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
