"""The base class of strategies that hold a position from one event until another."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from rbt_ray.objectives.builtin.strategy import MARGIN, Strategy
from rbt_ray.types import BoolArray, Config, FloatArray

if TYPE_CHECKING:
    from rbt_ray.data.view import BundleView
    from rbt_ray.objectives.sweep.run import Signals

Indicator: TypeAlias = "Callable[[BundleView, int], FloatArray]"
"""``(n_bars, n_symbols)`` from prices and a window."""
Level = TypeVar("Level", float, FloatArray)


@dataclass(frozen=True, slots=True)
class EntryExit(Strategy):
    """Long from when one indicator is above its level until another is above its own.

    The exit wins if both are. A position lasts over bars on which a symbol has no close. "Above" requires a margin of 1e-9,
    relative to the level or to 1, whichever is larger.
    """

    entry: ClassVar[Indicator]
    """The indicator of entries, with the first of `windows`."""
    leaving: ClassVar[Indicator]
    """The indicator of exits, with the last of `windows`."""
    windows: ClassVar[tuple[str, ...]]
    """The parameters that are windows."""
    whole_history: ClassVar[bool] = True  # a position depends on all bars before
    holds: ClassVar[bool] = True
    """Whether a position lasts until the exit; otherwise it is held only while there is an entry."""

    def warmup(self, params: Config) -> int:
        """Returns the longest window plus the bar before it."""
        return 1 + int(max(params[name] for name in self.windows))

    @abstractmethod
    def levels(self, params: Mapping[str, Level]) -> tuple[Level, Level]:
        """Returns the levels of `entry` and of `leaving`."""

    def long(self, params: Mapping[str, float], data: BundleView) -> BoolArray:
        """Returns the positions of one config."""
        enter, leave = (
            data.memo(indicator, _window(params[name], data)) > _margin(level)
            for indicator, name, level in zip(
                (type(self).entry, type(self).leaving),
                (self.windows[0], self.windows[-1]),
                self.levels(params),
                strict=True,
            )
        )
        return latest(enter, leave) if self.holds else enter

    def signals(self, data: BundleView, columns: Mapping[str, FloatArray]) -> Signals:
        """Processes configs with the same windows together; `columns` are sorted so that these are adjacent."""
        from rbt_ray.objectives.sweep.entry_exit import entry_exit_positions

        keys = np.array([columns[name] for name in self.windows])
        starts = [0, *(np.flatnonzero((np.diff(keys, axis=1) != 0).any(axis=0)) + 1).tolist(), keys.shape[1]]
        enter, leave = (np.ascontiguousarray(_margin(level)) for level in self.levels(columns))

        def write(_first: int, _tiles: int, n_rows: int, words: NDArray[np.uint64]) -> None:
            for start, stop in itertools.pairwise(starts):
                entry = data.memo(_tiled, type(self).entry, _window(keys[0, start], data))
                leaving = data.memo(_tiled, type(self).leaving, _window(keys[-1, start], data))
                entry_exit_positions(
                    entry, leaving, enter[start:stop], leave[start:stop], self.holds, data.n_symbols, start, n_rows,
                    words,
                )  # fmt: skip

        return write


def latest(enter: BoolArray, leave: BoolArray) -> BoolArray:
    """Returns positions ``(n_bars, n_symbols)`` that open on `enter` and last until `leave`, which wins if both hold."""
    bars = np.arange(len(enter))[:, None]
    last_event = np.maximum.accumulate(np.where(enter | leave, bars, -1), axis=0)
    begun = np.take_along_axis(enter & ~leave, np.maximum(last_event, 0), axis=0)
    return begun & (last_event >= 0)


def _margin(level: Level) -> Level:
    """Returns the level plus the margin."""
    raised: Level = level + MARGIN * np.maximum(1.0, np.abs(level))
    return raised


def _window(bars: float, data: BundleView) -> int:
    """Returns the window; all that are longer than the data give the same result, as they are never full."""
    return int(min(bars, data.n_bars + 1))


def _tiled(data: BundleView, indicator: Indicator, window: int) -> FloatArray:
    from rbt_ray.objectives.sweep.layout import tiled

    return tiled(indicator(data, window))
