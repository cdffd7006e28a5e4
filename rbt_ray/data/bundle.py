"""Bundle: read-only prices of some symbols on common bars, with a content hash, in memory or in one Arrow file."""

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
    """The bundle in a file that `Bundle.save` wrote, memory-mapped: milliseconds, and one copy for all processes.

    Args:
        path: the file; it may be deleted while mapped (not on Windows), but must not be changed.
        verify: read everything and compare it with the content hash. Without it only the head of the file is
            checked (a digest of its own), since workers open what the driver has verified.

    Raises:
        BundleError: there is no such file, it is not a bundle, or it is damaged.
    """
    return Bundle(*arrow_file.read(Path(path), verify=verify), path=Path(path).absolute())


class _Open:
    """`Bundle.open(path)` on the class, the opening prices on a bundle: both names are public and fixed."""

    @overload
    def __get__(self, bundle: None, owner: type[Bundle]) -> Opener: ...
    @overload
    def __get__(self, bundle: Bundle, owner: type[Bundle]) -> FloatArray: ...
    def __get__(self, bundle: Bundle | None, owner: type[Bundle]) -> Opener | FloatArray:
        return open_bundle if bundle is None else bundle["open"]


class Bundle(Fields):
    """Prices of `n_symbols` symbols on `n_bars` bars; nothing in it can be changed.

    Made by `Bundle.from_frame`, `Bundle.from_arrays`, `Bundle.open`, `rbt.ingest` and `rbt.load_bundle`. The fields
    are `bundle.open`, `high`, `low`, `close`, `volume` and `bundle["name"]`: read-only float64 arrays
    ``(n_bars, n_symbols)``, NaN where a symbol has no value. Two bundles are equal if their contents are.

    Attributes:
        name: what it is registered as, or None.
        version: sha256 of the content (not of name and metadata), in hexadecimal.
        index: ``(n_bars,)`` datetime64[ns], UTC.
        tz: the time zone the timestamps came in, None where they came without one.
        symbols: one a column.
        fields: open, high, low, close, volume as far as present, then the others by name.
        n_bars: number of bars.
        n_symbols: number of symbols.
        periods_per_year: bars in a year, for annual figures.
        listed_until: the time of the last bar, datetime64[ns] in UTC, of each symbol whose listing is declared to end.
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
        """A bundle from a pandas, polars or pyarrow frame, long or wide, rows in any order.

        Args:
            frame: long: columns ``date`` (or ``timestamp``), ``symbol`` and fields, of which ``close`` is needed.
                Wide: an index or column of dates and a column of closes a symbol, or columns
                ``(field, symbol)`` or ``(symbol, field)``.
                Dates without a time zone are UTC.
            name: what to call it.
            periods_per_year: bars in a year; None infers it (`times.periods_per_year`): 252 for daily bars.
            metadata: source, licence, notes.
            listed_until: symbols whose listing ends, with the time of their last bar: their holdings are closed on the
                next bar at their last close, and later targets are ignored (`rbt_ray.simulate`). A symbol that
                is not among them is carried to the end.

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
        """A bundle from arrays, which are copied.

        Args:
            fields: ``close`` and any others, each ``(n_bars, n_symbols)``; NaN where a symbol has no value. A symbol
                may have none on all of the bars, as in a window before it is listed.
            index: ``(n_bars,)`` strictly increasing UTC timestamps, or pandas' index with a time zone.
            symbols: one a column.
            tz: the time zone dates are to be shown in; None takes the index's own.
            name: what to call it.
            periods_per_year: bars in a year; None infers it: 252 for daily bars.
            metadata: source, licence, notes.
            listed_until: symbols whose listing ends, with the time of their last bar: their holdings are closed on the
                next bar at their last close, and later targets are ignored (`rbt_ray.simulate`). A symbol that
                is not among them is carried to the end.

        Raises:
            BundleError: the data cannot be used; the message names symbol and row.
        """
        from rbt_ray.data import arrays

        made = arrays.content_of(fields, index, symbols, tz, periods_per_year, listed_until)
        return cls(made, name, metadata)

    def save(self, path: str | Path) -> None:
        """Write the bundle to one Arrow IPC file; whoever reads `path` sees the old file or all of the new one."""
        arrow_file.write(Path(path), self._content, self.name, self.metadata)

    def view(self, n_bars: int | None = None, memo: Memo | None = None) -> BundleView:
        """The first `n_bars` bars (all for None), with a cache of what is derived from them.

        Args:
            n_bars: from 1 to the bundle's own.
            memo: the cache to use; None makes a new one.

        Raises:
            BundleError: `n_bars` is no whole number from 1 to the bundle's own.
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
        """What it is made of, for carriers that bring the arrays to another process and make a Bundle of them there."""
        return self._content

    @property
    def version(self) -> str:
        """The content's sha256."""
        return self._content.version

    @property
    def index(self) -> TimeArray:
        """``(n_bars,)`` datetime64[ns], UTC."""
        return self._content.index

    @property
    def tz(self) -> str | None:
        """The time zone the timestamps came in."""
        return self._content.tz

    @property
    def symbols(self) -> tuple[str, ...]:
        """One a column."""
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
        """The time of the last bar of each symbol whose listing is declared to end."""
        return MappingProxyType(self._content.listed_until)

    @property
    def nbytes(self) -> int:
        """Bytes of all fields."""
        return sum(values.nbytes for values in self._content.arrays.values())

    def __getitem__(self, field: str) -> FloatArray:
        """Values of any field; `MissingFieldError` where there is none of that name."""
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
        if self.path is not None:  # the file is shared; arrays would be copied into every process
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


def _reopen(path: Path, version: str) -> Bundle:
    return FileRef(path, version).open()


def _revive(content: Content, name: str | None, metadata: dict[str, str]) -> Bundle:
    return Bundle(content.freeze(), name, metadata)  # a pickle forgets that arrays were read-only


@dataclass(frozen=True, slots=True)
class FileRef:
    """A bundle's file and the version it must hold; small, picklable, for processes of one machine.

    Args:
        path: the Arrow file.
        version: the content hash.
    """

    path: Path
    version: str

    def open(self) -> Bundle:
        """The bundle, memory-mapped and read-only.

        Raises:
            BundleError: the file is gone, damaged, or holds another version.
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
