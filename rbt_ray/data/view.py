"""BundleView: the `data` argument of objectives."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from rbt_ray.data import times
from rbt_ray.data.content import missing_field
from rbt_ray.data.indicator_methods import Indicators, compute
from rbt_ray.data.memo import ABSENT, Memo, freeze, name_of, not_hashable
from rbt_ray.data.time_frames import Closed
from rbt_ray.data.times import TimeArray
from rbt_ray.errors import InputError
from rbt_ray.types import FloatArray

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle
    from rbt_ray.data.resampled import Resampled


class BundleView(Indicators):
    """The first `n_bars` bars of a bundle, with a cache of results derived from them and a trial's seed.

    The fields are `data.open`, `high`, `low`, `close`, `volume` and `data["name"]`: read-only float64 arrays
    ``(n_bars, n_symbols)``, NaN where a symbol has no value. Made by `Bundle.view`.

    Attributes:
        n_bars: number of bars in the view.
        n_symbols: number of symbols.
        symbols: one for each column.
        fields: names of the fields.
        index: ``(n_bars,)`` datetime64[ns], UTC.
        tz: the time zone of the source's timestamps, or None.
        periods_per_year: bars in a year.
        listed_until: the time of the last bar of each symbol that was delisted before the view's last bar.
        version: the bundle's content hash.
        seed: the trial's, or None outside a trial.
    """

    __slots__ = (
        "_arrays",
        "_bundle_index",
        "_first",
        "_memo",
        "_rng",
        "_seedless",
        "fields",
        "index",
        "listed_until",
        "n_bars",
        "n_symbols",
        "periods_per_year",
        "seed",
        "symbols",
        "tz",
        "version",
    )

    def __init__(self, bundle: Bundle, n_bars: int, memo: Memo) -> None:
        self._arrays: Mapping[str, FloatArray] = {field: bundle[field][:n_bars] for field in bundle.fields}
        self._bundle_index: TimeArray | None = bundle.index  # None for the bars of a coarser frame
        self._first = 0  # the position of the view's first bar in the bundle
        self._memo = memo
        self._rng: np.random.Generator | None = None
        self._seedless: BundleView | None = None  # None for self: a reference to itself would keep the memo alive
        self.fields = bundle.fields
        self.index: TimeArray = bundle.index[:n_bars]
        # A later end is in the future: an objective could avoid symbols that are going to be delisted.
        ended = {name: end for name, end in bundle.listed_until.items() if (end < self.index[-1:]).all()}
        self.listed_until = MappingProxyType(ended)
        self.n_bars = n_bars
        self.n_symbols = bundle.n_symbols
        self.periods_per_year = bundle.periods_per_year
        self.seed: int | None = None
        self.symbols = bundle.symbols
        self.tz = bundle.tz
        self.version = bundle.version

    def for_trial(self, seed: int) -> BundleView:
        """Returns a view with a trial's seed that shares arrays and cache with this one."""
        view = object.__new__(BundleView)
        for slot in BundleView.__slots__:
            setattr(view, slot, getattr(self, slot))
        view.seed, view._rng, view._seedless = seed, None, self._seedless or self
        return view

    def window(self, start: int, stop: int) -> BundleView:
        """Returns a view of the bars from `start` to before `stop`, with the cache and the trial's seed of this one."""
        arrays = {field: values[start:stop] for field, values in self._arrays.items()}
        # What the cache holds depends on the first bar.
        view = self._with_bars(
            arrays, self.index[start:stop], f"{self.version}/from {start}" if start else self.version
        )
        view._first = self._first + start
        if self._seedless is not None:
            view._seedless = self._seedless.window(start, stop)
        return view

    def coarser(self, arrays: Mapping[str, FloatArray], index: TimeArray, version: str) -> BundleView:
        """Returns a view of the bars of a coarser frame, with the cache of this one and without a seed.

        Its `periods_per_year` is NaN: annualise on the bars of the bundle.

        Args:
            arrays: each ``(n_frames, n_symbols)``, by field.
            index: ``(n_frames,)`` the time of the last bar of each frame.
            version: identifies the frame in the cache.
        """
        view = (self._seedless or self)._with_bars(arrays, index, version)
        view._bundle_index, view.periods_per_year = None, math.nan
        return view

    def _with_bars(self, arrays: Mapping[str, FloatArray], index: TimeArray, version: str) -> BundleView:
        view = object.__new__(BundleView)
        for slot in BundleView.__slots__:
            setattr(view, slot, getattr(self, slot))
        view._arrays, view._rng, view.index, view.n_bars, view.version = arrays, None, index, len(index), version
        ended = {name: end for name, end in self.listed_until.items() if (end < index[-1:]).all()}
        view.listed_until = MappingProxyType(ended)
        return view

    def with_empty_memo(self) -> BundleView:
        """Returns a view of the same bars, with the trial's seed of this one and a cache of its own."""
        view = self.window(0, self.n_bars)
        view._memo = Memo()
        if view._seedless is not None:
            view._seedless = view._seedless.with_empty_memo()
            view._seedless._memo = view._memo
        return view

    @property
    def rng(self) -> np.random.Generator:
        """The random generator of this trial, the same on every worker.

        Raises:
            InputError: the view does not belong to a trial.
        """
        if self._rng is None:
            if self.seed is None:
                raise InputError(
                    "This view belongs to no trial, so it has no random numbers: trials share the results of `data.memo`, "
                    "and a batched objective runs many trials at once. Outside a study, use view.for_trial(seed)."
                )
            self._rng = np.random.default_rng(self.seed)
        return self._rng

    def __getitem__(self, field: str) -> FloatArray:
        """Returns the values of a field; raises `MissingFieldError` if the bundle has no such field."""
        try:
            return self._arrays[field]
        except (KeyError, TypeError):
            raise missing_field(field, self.fields) from None

    def memo(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Returns `fn(view, *args)`, computed once on each worker for each number of bars, and cached up to a limit of memory.

        Args:
            fn: a module-level function. A lambda that each trial creates is a new key each time. Its view has no seed,
                since trials share the result.
            *args: hashable; 5, 5.0 and True are three different arguments.

        Returns:
            The result of `fn`, with read-only arrays and mappings.

        Raises:
            InputError: an argument is not hashable, or the result cannot be made read-only.
        """
        key = (fn, args, _types(args), self.n_bars, self.version)
        try:
            found = self._memo.get(key)
        except TypeError:
            raise not_hashable(fn, args) from None
        if found is not ABSENT:
            return found
        result = freeze(fn(self._seedless or self, *args), name_of(fn))
        self._memo.put(key, result)
        return result

    def resample(self, rule: str, *, calendar: str | None = None, closed: Closed = "left") -> Resampled:
        """Returns the bars of a coarser time frame, for indicators: `data.resample("1D").sma("close", 50)`.

        All its arrays have the bars of this view. A bar has the value of the last frame that has closed by its close, and
        NaN before the first. A frame closes with its last bar, so that its value and the close of that bar become known
        together; the frame that contains the view's last bar may still be open. See docs/time_frames.md.

        Args:
            rule: "15min", "4h" (below a day), "1D", "1W" (from Monday) or "1M" (a calendar month).
            calendar: an exchange of the package exchange_calendars, such as "XNYS". A day ends at the close of its session,
                and hours count from its open. None: days start at midnight of the bundle's time zone, UTC if it has none.
            closed: "left" if the time of each bar is its start, "right" if it is its end, as in minute bundles of zipline.

        Raises:
            InputError: an argument has another type or value, the exchange is unknown or its package is not installed, or the
                frame is shorter than the bars.
        """
        from rbt_ray.data.resampled import Resampled
        from rbt_ray.data.time_frames import TimeFrame

        return Resampled(self, TimeFrame.parse(rule, calendar, closed))

    def next_bar(self) -> tuple[np.datetime64, np.timedelta64]:
        """Returns the time of the bar after the view's last one, and the shortest time between two bars of the bundle.

        After the bundle's last bar, the next one begins at the earliest after the shortest time between two bars; a bundle
        of one bar has no such time, and the next bar begins with it.

        Raises:
            InputError: these are the bars of a coarser frame.
        """
        times_of_bars = self._bundle_index
        if times_of_bars is None:
            raise InputError("`resample` takes the bars of the bundle: use `data.resample` outside of this function.")
        shortest = np.diff(times_of_bars).min() if len(times_of_bars) > 1 else np.timedelta64(0, "ns")
        after = self._first + self.n_bars
        return (times_of_bars[after] if after < len(times_of_bars) else times_of_bars[-1] + shortest), shortest

    def _of_values(self, name: str, values: FloatArray, window: int) -> FloatArray:
        return freeze(compute(name, values, window), name)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        start, end = (times.text(self.index[bar], self.tz) for bar in (0, -1))
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"<BundleView: {self.n_bars:,} bars from {start} to {end}, {self.n_symbols} symbols{seed}>"


def _types(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Returns the types of the arguments, also inside tuples: 5 == 5.0, but a function may distinguish them."""
    types = tuple(map(type, args))
    return tuple(_types(arg) if type(arg) is tuple else type(arg) for arg in args) if tuple in types else types
