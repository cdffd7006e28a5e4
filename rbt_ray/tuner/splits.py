"""WalkForward and CPCV: how a validation splits the training bars of a study into windows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from rbt_ray.block_sums import N_BLOCKS, block_ends
from rbt_ray.data.times import Span, bar_on, first_day
from rbt_ray.errors import SettingError
from rbt_ray.study.windows import Ranges, Window, WindowPlan, check_window, purged, ranges_of
from rbt_ray.types import BoolArray, IntArray, is_integer

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle

MIN_BARS = 20
"""The default of `min_bars`: a Sharpe ratio of fewer bars is noise."""
_LEAST_OF_SPLITTERS = 2
_MOST_WINDOWS = 10_000


@dataclass(frozen=True)
class WalkForward:
    """Chooses a config on a period of the training bars and tests it on the next period, again and again.

    `train` and `test` are both numbers of blocks, of the 16 into which the training bars are divided, or both spans of the
    calendar: a number and Y, Q, M, W or D, such as "4y". YE, QE and ME let test periods end with a calendar year, quarter
    or month: "6ME". The last test period may be shorter than a span.

    Args:
        train: the length of the period to choose on.
        test: the length of the period to test on.
        anchored: whether each period to choose on begins at the first bar; `train` is then the length of the first one.
        gap: bars between the period to choose on and the period to test on.
        purge: no training bar is within so many bars of a test bar. Set it to the longest time that a position is held, and
            no training bar belongs to a position that is open in the test period.
        embargo: see `CPCV`; a walk-forward does not choose on bars after its test period.
        min_bars: a window with fewer bars to choose or to test on is refused.
        min_trades: round trips that a config must close on the bars to choose on; a config with fewer is not chosen.

    Raises:
        SettingError: a value is not allowed.
    """

    train: int | str = 8
    test: int | str = 1
    anchored: bool = False
    gap: int = 0
    purge: int = 0
    embargo: int = 0
    min_bars: int = MIN_BARS
    min_trades: int = 0

    def __post_init__(self) -> None:
        _check_counts(self, gap=0, purge=0, embargo=0, min_bars=2, min_trades=0)
        if isinstance(self.train, str) and isinstance(self.test, str):
            for name in ("train", "test"):
                if Span.parse(getattr(self, name)) is None:
                    raise SettingError(
                        f"`{name}` of WalkForward is a number of blocks, or a number and Y, Q, M, W, D, YE, QE or ME, such as "
                        f"'4y' or '6ME'; got {getattr(self, name)!r}."
                    )
            return
        _check_counts(self, train=1, test=1)
        assert isinstance(self.train, int)
        assert isinstance(self.test, int)
        if self.train + self.test > N_BLOCKS:
            raise SettingError(
                f"`train` and `test` of WalkForward are blocks of the {N_BLOCKS} that the training bars are divided into; got "
                f"{self.train} + {self.test}."
            )

    def windows(self, bundle: Bundle, n_bars: int) -> Iterator[tuple[BoolArray, Ranges]]:
        """Yields for each window the bars to choose on, ``(n_bars,)``, and the ranges to test on."""
        periods = self._by_calendar(bundle, n_bars) if isinstance(self.train, str) else self._by_blocks(n_bars)
        for first, start, stop in periods:
            train = np.zeros(n_bars, bool)
            train[0 if self.anchored else first : max(0, start - self.gap)] = True
            test = ((start, stop),)
            yield purged(train, test, self.purge, self.embargo), test

    def _by_blocks(self, n_bars: int) -> Iterator[tuple[int, int, int]]:
        """Yields the first bar to choose on, the first bar to test on and the bar after the last one to test on."""
        assert isinstance(self.train, int)
        assert isinstance(self.test, int)
        edges = block_edges(n_bars)
        for start in range(self.train, N_BLOCKS, self.test):
            stop = min(start + self.test, N_BLOCKS)
            yield int(edges[start - self.train]), int(edges[start]), int(edges[stop])

    def _by_calendar(self, bundle: Bundle, n_bars: int) -> Iterator[tuple[int, int, int]]:
        train, test = Span.parse(str(self.train)), Span.parse(str(self.test))
        assert train is not None
        assert test is not None
        bar = partial(bar_on, bundle.index, bundle.tz)
        begin = test.aligned_from(train.after(first_day(bundle.index, bundle.tz)))
        for number in itertools.count():
            day = test.after(begin, number)
            start, stop = bar(day), bar(test.after(begin, number + 1))
            if start >= n_bars or (stop >= n_bars and n_bars - start < self.min_bars and number):
                return
            yield bar(train.after(day, -1)), start, min(stop, n_bars)

    def __repr__(self) -> str:
        return _short_repr(self, "train", "test")


@dataclass(frozen=True)
class CPCV:
    """Combinatorial purged cross-validation: tests on each combination of blocks and chooses on the other blocks.

    Args:
        n_blocks: consecutive blocks of about equal length.
        n_test: how many of them to test on; 16 blocks and 2 give 120 windows, which combine to 15 paths.
        purge: no training bar is within so many bars of a test bar. Set it to the longest time that a position is held, and
            no training bar belongs to a position that is open on a test bar.
        embargo: further bars after each test block, and after its purged bars, that are not chosen on.
        min_bars: a window with fewer bars to choose or to test on is refused.
        min_trades: round trips that a config must close on the bars to choose on; a config with fewer is not chosen.

    Raises:
        SettingError: a value is not allowed.

    Source:
        Lopez de Prado (2018), "Advances in Financial Machine Learning", chapter 12.
    """

    n_blocks: int = N_BLOCKS
    n_test: int = 2
    purge: int = 0
    embargo: int = 0
    min_bars: int = MIN_BARS
    min_trades: int = 0

    def __post_init__(self) -> None:
        _check_counts(self, n_blocks=2, n_test=1, purge=0, embargo=0, min_bars=2, min_trades=0)
        if self.n_test >= self.n_blocks or self.n_blocks > 100:
            raise SettingError(
                f"`n_test` of CPCV is below `n_blocks`, which is at most 100; got {self.n_test} of {self.n_blocks}."
            )

    def windows(self, _bundle: Bundle, n_bars: int) -> Iterator[tuple[BoolArray, Ranges]]:
        """Yields for each window the bars to choose on, ``(n_bars,)``, and the ranges to test on."""
        edges = block_edges(n_bars, self.n_blocks)
        for chosen in itertools.combinations(range(self.n_blocks), self.n_test):
            is_test = np.zeros(n_bars, bool)
            for block in chosen:
                is_test[edges[block] : edges[block + 1]] = True
            test = ranges_of(np.flatnonzero(is_test))
            yield purged(~is_test, test, self.purge, self.embargo), test

    def __repr__(self) -> str:
        return _short_repr(self, "n_blocks", "n_test")


def block_edges(n_bars: int, n_blocks: int = N_BLOCKS) -> IntArray:
    """Returns ``(n_blocks + 1,)`` the first bar of each block of `numpy.array_split`, and `n_bars`."""
    return np.concatenate([[0], block_ends(n_bars, n_blocks)])


def check_validation(validation: Any) -> None:
    """Refuses a validation that cannot split bars.

    Raises:
        SettingError: it is no WalkForward, no CPCV and no object with a method `split`.
    """
    if isinstance(validation, type) or not callable(getattr(validation, "split", getattr(validation, "windows", None))):
        raise SettingError(
            f"`validation` is rbt.WalkForward(...), rbt.CPCV(...) or an object with a method `split(X)`, as those of "
            f"sklearn.model_selection; got {validation!r}."
        )


def resolve(validation: Any, bundle: Bundle, n_bars: int) -> WindowPlan:
    """Returns the windows of a validation over the first `n_bars` bars.

    Args:
        validation: a WalkForward, a CPCV or an object whose `split(X)` yields pairs of bars to choose and to test on. `X` is
            a frame of the closes, with a DatetimeIndex.
        bundle: the prices.
        n_bars: the number of training bars.

    Raises:
        SettingError: it yields no window, one with too few bars, or bars that do not exist.
    """
    own = isinstance(validation, (WalkForward, CPCV))
    pairs = validation.windows(bundle, n_bars) if own else _pairs_of(validation, bundle, n_bars)
    least = validation.min_bars if own else _LEAST_OF_SPLITTERS
    windows = []
    for number, (train, test) in enumerate(itertools.islice(pairs, _MOST_WINDOWS + 1)):
        window = Window(ranges_of(np.flatnonzero(train)), test)
        check_window(window, number, least, repr(validation))
        windows.append(window)
    if not 0 < len(windows) <= _MOST_WINDOWS:
        n = "none" if not windows else f"more than {_MOST_WINDOWS:,}"
        raise SettingError(
            f"`validation` {validation!r} splits the {n_bars:,} training bars into windows; it made {n}."
        )
    return WindowPlan(repr(validation), tuple(windows), validation.min_trades if own else 0)


def _pairs_of(splitter: Any, bundle: Bundle, n_bars: int) -> Iterator[tuple[BoolArray, Ranges]]:
    import pandas as pd

    index = pd.DatetimeIndex(bundle.index[:n_bars])
    closes = pd.DataFrame(bundle.close[:n_bars], index, list(bundle.symbols))
    for number, (train, test) in enumerate(splitter.split(closes)):
        parts = test if isinstance(test, (list, tuple)) and len(test) and np.ndim(test[0]) else [test]  # skfolio's CPCV
        masks = [_mask(bars, n_bars, number) for bars in (train, np.concatenate([np.asarray(part) for part in parts]))]
        if (masks[0] & masks[1]).any():
            bar = int(np.flatnonzero(masks[0] & masks[1])[0])
            raise SettingError(
                f"`split` of `validation` gives window {number} bar {bar} both to choose and to test on."
            )
        yield masks[0], ranges_of(np.flatnonzero(masks[1]))


def _mask(bars: Any, n_bars: int, number: int) -> BoolArray:
    found = np.asarray(bars)
    mask = np.zeros(n_bars, bool)
    if found.ndim != 1 or found.dtype.kind not in "iu" or not ((found >= 0) & (found < n_bars)).all():
        raise SettingError(
            f"`split` of `validation` yields arrays of bar numbers from 0 to {n_bars - 1}; window {number} has others."
        )
    mask[found] = True
    return mask


def _check_counts(settings: Any, **least: int) -> None:
    for name, lowest in least.items():
        value = getattr(settings, name)
        if not is_integer(value) or value < lowest:
            raise SettingError(
                f"`{name}` of {type(settings).__name__} is a whole number of at least {lowest}; got {value!r}."
            )
        object.__setattr__(settings, name, int(value))


def _short_repr(settings: Any, *always: str) -> str:
    shown = [one.name for one in fields(settings) if one.name in always or getattr(settings, one.name) != one.default]
    return f"{type(settings).__name__}({', '.join(f'{name}={getattr(settings, name)!r}' for name in shown)})"
