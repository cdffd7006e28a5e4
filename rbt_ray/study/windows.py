"""Windows of a validation: the bars that a config is chosen on, and the bars that it is tested on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from rbt_ray.errors import SettingError
from rbt_ray.types import BoolArray, FloatArray, IntArray

_CONSTANT = 1e-12
"""Returns are constant if the sum of their squared deviations is at most this share of that of their squares."""
Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""Ranges of bars, ascending and disjoint; each is its first bar and the bar after its last."""


@dataclass(frozen=True)
class Window:
    """A split of the training bars of a study; numbers of bars count from the first bar of its bundle."""

    train: tuple[tuple[int, int], ...]
    test: tuple[tuple[int, int], ...]

    @property
    def train_bars(self) -> IntArray:
        """``(n,)`` the bars to choose on, ascending."""
        return bars_of(self.train)

    @property
    def test_bars(self) -> IntArray:
        """``(n,)`` the bars to test on, ascending."""
        return bars_of(self.test)

    @property
    def train_stop(self) -> int:
        """The bar after the last one to choose on."""
        return self.train[-1][1]

    @property
    def test_stop(self) -> int:
        """The bar after the last one to test on."""
        return self.test[-1][1]

    def train_within(self, n_bars: int) -> Ranges:
        """Returns those of the bars to choose on that are among the first `n_bars` bars."""
        return tuple((start, min(stop, n_bars)) for start, stop in self.train if start < n_bars)


@dataclass(frozen=True)
class WindowPlan:
    """The windows of a study's validation.

    Args:
        name: what made them, such as "WalkForward(train=8, test=1)".
        windows: at least one.
        min_trades: round trips that a config must close on the training bars of a window to be chosen there.
    """

    name: str
    windows: tuple[Window, ...]
    min_trades: int

    @classmethod
    def from_json(cls, plain: Any, n_bars: int) -> WindowPlan:
        """Returns the plan that `dataclasses.asdict` wrote.

        Args:
            plain: the JSON values.
            n_bars: the number of bars that the study may use.

        Raises:
            ValueError: a part is invalid; or a TypeError or LookupError.
        """
        windows = tuple(Window(_ranges(one["train"], n_bars), _ranges(one["test"], n_bars)) for one in plain["windows"])
        if not windows or type(plain["min_trades"]) is not int:
            raise ValueError("its `validation` has no windows")
        return cls(str(plain["name"]), windows, plain["min_trades"])


def ranges_of(bars: IntArray) -> Ranges:
    """Returns ascending bars as ranges."""
    pieces = np.split(bars, np.flatnonzero(np.diff(bars) > 1) + 1)
    return tuple((int(piece[0]), int(piece[-1]) + 1) for piece in pieces if len(piece))


def bars_of(ranges: Iterable[tuple[int, int]]) -> IntArray:
    """Returns ``(n,)`` the bars in ranges."""
    return np.concatenate([np.arange(start, stop) for start, stop in ranges])


def purged(train: BoolArray, test: Sequence[tuple[int, int]], purge: int, embargo: int) -> BoolArray:
    """Returns ``(n_bars,)`` the training bars that keep their distance from the test bars.

    If no position is held longer than `purge` bars, no training bar that it returns belongs to a position that is open
    on a test bar. The embargo follows the purged bars.

    Args:
        train: ``(n_bars,)`` the bars to choose on.
        test: ranges of bars to test on.
        purge: a training bar is more than this number of bars before or after each test bar.
        embargo: a training bar after a range of test bars comes after this number of further bars.

    Source:
        Lopez de Prado (2018), "Advances in Financial Machine Learning", section 7.4.
    """
    kept = train.copy()
    for start, stop in test:
        kept[max(0, start - purge) : stop + purge + embargo] = False
    return kept


def sharpes_of_windows(sums: FloatArray, squares: FloatArray, ends: IntArray, windows: Sequence[Ranges]) -> FloatArray:
    """Returns ``(n_windows, n_trials)`` Sharpe ratios per bar from sums over blocks; NaN for constant returns.

    The blocks of a window are added in their order, so a ratio depends neither on other trials nor on other blocks.

    Args:
        sums: ``(n_trials, n_blocks)`` sums of returns.
        squares: ``(n_trials, n_blocks)`` sums of their squares.
        ends: ``(n_blocks,)`` the bar after the last one of each block.
        windows: ranges of bars; each begins and ends with a block.
    """
    ratios = np.full((len(windows), len(sums)), np.nan)
    lengths = np.diff(ends, prepend=0)
    for number, ranges in enumerate(windows):
        total, square, n = np.zeros(len(sums)), np.zeros(len(sums)), 0
        for block in _blocks_within(ends, ranges):
            total, square, n = total + sums[:, block], square + squares[:, block], n + int(lengths[block])
        mean = total / n
        deviations = square - n * mean**2
        varies = deviations > _CONSTANT * square
        spread = np.sqrt(np.where(varies, deviations, 1.0) / max(n - 1, 1))
        ratios[number] = np.where(varies, mean / spread, np.nan)
    return ratios


def growth_of_windows(growth: FloatArray, ends: IntArray, windows: Sequence[Ranges]) -> FloatArray:
    """Returns ``(n_windows, n_trials)`` what one unit of equity becomes, the product of `1 + growth` over each window's blocks.

    Args:
        growth: ``(n_trials, n_blocks)`` relative changes of the equity.
        ends: ``(n_blocks,)`` the bar after the last one of each block.
        windows: ranges of bars; each begins and ends with a block.
    """
    equity = np.ones((len(windows), len(growth)))
    for number, ranges in enumerate(windows):
        for block in _blocks_within(ends, ranges):
            equity[number] *= 1.0 + growth[:, block]
    return equity


def _blocks_within(ends: IntArray, ranges: Ranges) -> list[int]:
    """Returns the blocks that ranges of bars consist of, in their order."""
    starts = np.concatenate([[0], ends[:-1]])
    return [int(at) for start, stop in ranges for at in np.flatnonzero((starts >= start) & (ends <= stop))]


def check_window(window: Window, number: int, min_bars: int, where: str) -> None:
    """Refuses a window with too few bars.

    Raises:
        SettingError: it has fewer than `min_bars` bars to choose or to test on.
    """
    for name, ranges in (("train", window.train), ("test", window.test)):
        n = sum(stop - start for start, stop in ranges)
        if n < min_bars:
            raise SettingError(
                f"`validation` {where}: window {number} has {n} bars to {name} on, and `min_bars` is {min_bars}. Use longer "
                f"windows, or a smaller `gap`, `purge`, `embargo` or `min_bars`."
            )


def _ranges(plain: Any, n_bars: int) -> Ranges:
    edges = [edge for one in plain for edge in one]
    whole = all(type(edge) is int for edge in edges) and all(len(one) == 2 for one in plain)
    if not edges or not whole or edges[0] < 0 or edges[-1] > n_bars or sorted(set(edges)) != edges:
        raise ValueError("its `validation` has ranges that are not of its bars")
    return tuple((start, stop) for start, stop in plain)
