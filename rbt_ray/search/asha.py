"""Asynchronous schedulers: ASHA, which promotes or stops, and the median rule."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from rbt_ray.errors import SettingError
from rbt_ray.search.scheduler import Ladder, Race, Rank, Step


@dataclass(frozen=True, slots=True)
class ASHA:
    """Asynchronous Successive Halving: every config starts on the lowest rung, and no rung waits to fill.

    Args:
        kind: "promotion": promotes a config as soon as it is among the best 1/eta of a rung's results so far, which may be
            later than its own result. "stopping": promotes a config when its result arrives, or never.

    Raises:
        SettingError: `kind` is neither.

    Source:
        Li et al. (2020), "A System for Massively Parallel Hyperparameter Tuning", MLSys, algorithm 2; for the stopping
        variant section 4, as in Ray Tune.
    """

    kind: Literal["promotion", "stopping"] = "promotion"

    def __post_init__(self) -> None:
        if self.kind not in ("promotion", "stopping"):
            raise SettingError(f"`kind` of ASHA is 'promotion' or 'stopping'; got {self.kind!r}.")

    def race(self, ladder: Ladder, eta: float) -> Race:
        """See `Scheduler`."""
        if self.kind == "promotion":
            return _Promotion(len(ladder), eta)
        return _OneWay(len(ladder), stopping_rule(self, eta))


@dataclass(frozen=True, slots=True)
class MedianStopping:
    """Promotes a config unless it is worse than the median of its rung's results so far.

    Args:
        least: how many results a rung needs before it stops a config.

    Raises:
        SettingError: `least` is not an integer above 0.

    Source:
        Golovin et al. (2017), "Google Vizier: A Service for Black-Box Optimization", KDD, section 3.2.2; this rule compares
        results on a rung, not running means of reports.
    """

    least: int = 4

    def __post_init__(self) -> None:
        if isinstance(self.least, bool) or not isinstance(self.least, int) or self.least < 1:
            raise SettingError(f"`least` of MedianStopping is a whole number above 0; got {self.least!r}.")

    def race(self, ladder: Ladder, eta: float) -> Race:
        """See `Scheduler`; eta does not matter to this rule."""
        return _OneWay(len(ladder), stopping_rule(self, eta))


def stopping_rule(scheduler: ASHA | MedianStopping, eta: float) -> Callable[[int, int], bool]:
    """Returns whether a config is promoted, by how many of a rung's results are better and how many there are."""
    if isinstance(scheduler, ASHA):
        return lambda n_better, n: n_better < max(1.0, n / eta)
    return lambda n_better, n: n < scheduler.least or n_better <= (n - 1) / 2


class OpenConfigs:
    """Counts the configs of a race whose results are missing, and whether more may enter."""

    def __init__(self) -> None:
        self._under_way = 0
        self._closed = False

    def enter(self, slot: int, step: Step) -> None:
        """See `Race`."""
        del slot, step
        self._under_way += 1

    def close(self) -> None:
        """See `Race`."""
        self._closed = True


class _Promotion(OpenConfigs):
    """ASHA by promotion: the best 1/eta of the results on a rung so far may go to the next one."""

    def __init__(self, n_rungs: int, eta: float) -> None:
        super().__init__()
        self._eta = eta
        self._n_results = [0] * n_rungs
        self._ranked: list[list[tuple[float, int]]] = [[] for _ in range(n_rungs)]
        self._left: list[list[tuple[float, int]]] = [[] for _ in range(n_rungs)]  # not promoted yet

    @property
    def done(self) -> bool:
        return self._closed and not self._under_way and self._rung_to_promote_from() is None

    def next(self) -> Step | None:
        rung = self._rung_to_promote_from()
        if rung is None:
            return None if self._closed else Step(None, 0)
        self._under_way += 1
        return Step(self._left[rung].pop(0)[1], rung + 1)

    def finish(self, slot: int, rung: int, loss: Rank, *, fatal: bool) -> None:
        self._under_way -= 1
        self._n_results[rung] += 1
        if not fatal:
            place = (_number(loss), slot)
            insort(self._ranked[rung], place)
            insort(self._left[rung], place)

    def _rung_to_promote_from(self) -> int | None:
        """Returns the highest rung with a config to promote; None if there is none."""
        rungs = [rung for rung in reversed(range(len(self._left) - 1)) if self._left[rung]]
        for rung in rungs:
            if bisect_left(self._ranked[rung], self._left[rung][0]) < int(self._n_results[rung] / self._eta):
                return rung
        # If no config reached full fidelity and no samples are left, promote the best of the highest rung.
        at_an_end = self._closed and not (self._under_way or self._ranked[-1])
        return rungs[0] if at_an_end and rungs else None


class _OneWay(OpenConfigs):
    """Promotes each config until `promotes(n_better, n_results)`, over its rung's results so far, is False."""

    def __init__(self, n_rungs: int, promotes: Callable[[int, int], bool]) -> None:
        super().__init__()
        self._promotes = promotes
        self._ranked: list[list[float]] = [[] for _ in range(n_rungs)]
        self._promoted: deque[Step] = deque()

    @property
    def done(self) -> bool:
        return self._closed and not self._under_way and not self._promoted

    def next(self) -> Step | None:
        if self._promoted:
            self._under_way += 1
            return self._promoted.popleft()
        return None if self._closed else Step(None, 0)

    def finish(self, slot: int, rung: int, loss: Rank, *, fatal: bool) -> None:
        self._under_way -= 1
        ranked, place = self._ranked[rung], _number(loss)
        n_better = bisect_left(ranked, place)
        insort(ranked, place)
        if rung + 1 < len(self._ranked) and not fatal and self._promotes(n_better, len(ranked)):
            self._promoted.append(Step(slot, rung + 1))


def _number(loss: Rank) -> float:
    assert not isinstance(loss, tuple)  # `FrontScheduler` has races for several metrics
    return math.inf if loss is None else loss
