"""What those strategies have in common that hold a position from one event until another."""

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
    """Long from where one indicator is above a level until another is above a level of its own.

    The position ends where both are, and lasts over bars on which a symbol has no close. "Above" is by a margin of 1e-9, relative to the
    level or to 1, whichever is larger.
    """

    entry: ClassVar[Indicator]
    """What decides entries, of the first of `windows`."""
    leaving: ClassVar[Indicator]
    """What decides exits, of the last of `windows`."""
    windows: ClassVar[tuple[str, ...]]
    """The parameters that are windows."""
    whole_history: ClassVar[bool] = True  # a position depends on all of it
    holds: ClassVar[bool] = True
    """Whether a position lasts until `leaving`; else it ends where there is no entry."""

    def warmup(self, params: Config) -> int:
        """The longest window, and the bar before it."""
        return 1 + int(max(params[name] for name in self.windows))

    @abstractmethod
    def levels(self, params: Mapping[str, Level]) -> tuple[Level, Level]:
        """What `entry` and what `leaving` is compared with."""

    def long(self, params: Mapping[str, float], data: BundleView) -> BoolArray:
        """One config's positions."""
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
        """Configs of the same windows together; `columns` are in an order in which they are neighbours."""
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
    """Positions ``(n_bars, n_symbols)`` that begin where `enter`, last until `leave`, and end where both hold."""
    bars = np.arange(len(enter))[:, None]
    last_event = np.maximum.accumulate(np.where(enter | leave, bars, -1), axis=0)
    begun = np.take_along_axis(enter & ~leave, np.maximum(last_event, 0), axis=0)
    return begun & (last_event >= 0)


def _margin(level: Level) -> Level:
    """What has to be exceeded to be above the level."""
    raised: Level = level + MARGIN * np.maximum(1.0, np.abs(level))
    return raised


def _window(bars: float, data: BundleView) -> int:
    """A window longer than the data is one that is never full, whatever its length."""
    return int(min(bars, data.n_bars + 1))


def _tiled(data: BundleView, indicator: Indicator, window: int) -> FloatArray:
    from rbt_ray.objectives.sweep.layout import tiled

    return tiled(indicator(data, window))
