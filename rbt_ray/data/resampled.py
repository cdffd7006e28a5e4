"""Resampled: the bars of a coarser time frame, and indicators of them, on the bars of a view.

A frame closes with its last bar, the one whose next bar is in another frame. What row `t` of an array holds is known after
the close of bar `t` and before bar `t + 1`, so a decision of row `t` uses frames that end by then:

    bars (hours)    09  10  11  12  13  14  15 | 09  10  11 ...
    frame (day)     [      day 1             ] | [  day 2
    row of values   -   -   -   -   -   -   1  | 1   1   1  ...    1: the value of day 1

Whether a frame closes follows from the times of bars, never from prices. The next bar's time is known to a view that ends
before the bundle, so a view of the first bars has the first rows of the whole. After the bundle's last bar, the frame closes
if a bar that follows after the shortest time between two bars is in another frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rbt_ray.data.indicator_methods import Indicators, compute
from rbt_ray.data.memo import freeze, name_of, not_hashable
from rbt_ray.data.time_frames import TimeFrame
from rbt_ray.errors import InputError, ShapeError
from rbt_ray.types import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from rbt_ray.data.view import BundleView


class Resampled(Indicators):
    """The last closed bar of a coarser time frame on each bar of a view, and indicators of the coarser bars.

    The fields are those of the view: `open` is the first of a frame, `high` the highest, `low` the lowest, `volume` the sum,
    and any other field the last; bars without a value do not count, and a frame without values is NaN. Made by
    `BundleView.resample`.

    Attributes:
        fields: names of the fields.
        n_bars: number of bars of the view.
        n_symbols: number of symbols.
        symbols: one for each column.
    """

    __slots__ = ("_frame", "_view", "fields", "n_bars", "n_symbols", "symbols")

    def __init__(self, view: BundleView, frame: TimeFrame) -> None:
        view.memo(_bars_of, frame)  # raises if the frame does not fit the bars
        self._frame = frame
        self._view = view
        self.fields = view.fields
        self.n_bars = view.n_bars
        self.n_symbols = view.n_symbols
        self.symbols = view.symbols

    @property
    def ends(self) -> BoolArray:
        """Whether a frame closes with each bar, ``(n_bars,)``: the rows on which values change."""
        ends = np.zeros(self.n_bars, np.bool_)
        ends[self._view.memo(_bars_of, self._frame).last] = True
        return freeze(ends, "ends")  # type: ignore[no-any-return]

    def __getitem__(self, field: str) -> FloatArray:
        """Returns the values of a field in the last closed frame; raises `MissingFieldError` if there is no such field."""
        return self.memo(_field, field)  # type: ignore[no-any-return]

    def memo(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Returns what `fn(bars, *args)` computes from the closed bars of the frame, on the bars of the view.

        It is cached as `BundleView.memo` does. The first dimension of the result becomes the bars of the view; before the
        first frame has closed, values are NaN, and False for truth values.

        Args:
            fn: a module-level function. `bars` is a view of the closed bars of the frame; the time of each is that of its
                last bar.
            *args: hashable.

        Raises:
            InputError: an argument is not hashable.
            ShapeError: the result is not an array with a row for each bar of the frame, or a tuple or dict of them.
        """
        try:
            hash((fn, args))
        except TypeError:
            raise not_hashable(fn, args) from None
        return self._view.memo(_on_view, self._frame, fn, args)

    def _of_values(self, name: str, values: FloatArray, window: int) -> FloatArray:
        """Returns an indicator of the last value of each frame, from values ``(n_bars, n_symbols)`` on the view's bars."""
        if np.shape(values) != (self.n_bars, self.n_symbols):
            raise ShapeError(
                f"`{name}` of a resampled view takes the name of a field, or values on the {self.n_bars:,} bars of `data`, of "
                f"shape ({self.n_bars}, {self.n_symbols}); got {np.shape(values)}."
            )
        last = self._view.memo(_bars_of, self._frame).last
        found = compute(name, _last(np.asarray(values, np.float64), _starts(last), last), window)
        return freeze(_held(found, last, self.n_bars, name), name)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<Resampled: {self._frame.rule} of {self._view!r}>"


class _Bars(NamedTuple):
    """The closed bars of a frame: the position of the last fine bar of each, and fields ``(n_frames, n_symbols)``."""

    last: IntArray
    fields: Mapping[str, FloatArray]


def _bars_of(view: BundleView, frame: TimeFrame) -> _Bars:
    after, shortest = view.next_bar()
    if frame.length < shortest / np.timedelta64(1, "ns"):
        raise InputError(
            f"`data.resample({frame.rule!r})` needs a frame that is not shorter than the bars: those of this bundle are at "
            f"least {shortest.astype('timedelta64[s]').item()} (h:mm:ss) apart."
        )
    last = frame.last_bars(view.index, after, view.tz)
    starts = _starts(last)
    return _Bars(last, {field: _AGGREGATES.get(field, _last)(view[field], starts, last) for field in view.fields})


def _starts(last: IntArray) -> IntArray:
    """Returns the first bar of each frame."""
    return np.append(0, last[:-1] + 1)[: len(last)]


def _last(values: FloatArray, starts: IntArray, last: IntArray) -> FloatArray:
    """Returns ``(n_frames, n_symbols)`` the last value of each frame."""
    bars = np.where(np.isnan(values), -1, np.arange(len(values))[:, None])
    return _taken(values, _reduced(np.maximum, bars, starts, last))


def _first(values: FloatArray, starts: IntArray, last: IntArray) -> FloatArray:
    bars = np.where(np.isnan(values), len(values), np.arange(len(values))[:, None])
    return _taken(values, _reduced(np.minimum, bars, starts, last))


def _highest(values: FloatArray, starts: IntArray, last: IntArray) -> FloatArray:
    return _reduced(np.fmax, values, starts, last)


def _lowest(values: FloatArray, starts: IntArray, last: IntArray) -> FloatArray:
    return _reduced(np.fmin, values, starts, last)


def _sum(values: FloatArray, starts: IntArray, last: IntArray) -> FloatArray:
    there = ~np.isnan(values)
    total = _reduced(np.add, np.where(there, values, 0.0), starts, last)
    return np.where(_reduced(np.logical_or, there, starts, last), total, np.nan)


_AGGREGATES = {"open": _first, "high": _highest, "low": _lowest, "volume": _sum}


def _reduced(operation: np.ufunc, values: NDArray[Any], starts: IntArray, last: IntArray) -> NDArray[Any]:
    if not len(last):
        return values[:0]
    return operation.reduceat(values[: last[-1] + 1], starts, axis=0)


def _taken(values: FloatArray, bars: IntArray) -> FloatArray:
    """Returns the values on a bar of each frame and symbol, NaN where the bar is outside of `values`."""
    there = (bars >= 0) & (bars < len(values))
    return np.where(there, np.take_along_axis(values, np.where(there, bars, 0), axis=0), np.nan)


def _field(bars: BundleView, field: str) -> FloatArray:
    return bars[field]


def _on_view(view: BundleView, frame: TimeFrame, fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    last, fields = view.memo(_bars_of, frame)
    bars = view.coarser(fields, view.index[last], f"{view.version}/{frame}")
    return _held(fn(bars, *args), last, view.n_bars, name_of(fn))


def _held(result: Any, last: IntArray, n_bars: int, maker: str) -> Any:
    """Returns results with a row for each frame on the bars of a view, from the frame's last bar to before the next one's.

    Raises:
        ShapeError: the result is not an array with a row for each frame, or a tuple or mapping of them.
    """
    if isinstance(result, Mapping):
        return {key: _held(value, last, n_bars, maker) for key, value in result.items()}
    if isinstance(result, tuple):
        return tuple(_held(part, last, n_bars, maker) for part in result)
    if not isinstance(result, np.ndarray) or np.shape(result)[:1] != last.shape:
        shape = f"shape {np.shape(result)}" if isinstance(result, np.ndarray) else type(result).__name__
        raise ShapeError(
            f"`{maker}` returns an array with a row for each bar of the frame, of which there are {len(last):,}, or a tuple or "
            f"dict of such arrays; got {shape}."
        )
    truth = result.dtype == np.bool_
    held = np.zeros((n_bars, *result.shape[1:]), np.bool_) if truth else np.full((n_bars, *result.shape[1:]), np.nan)
    if len(last):
        held[last[0] :] = np.repeat(result, np.diff(last, append=n_bars), axis=0)
    return held
