"""Schedulers without barriers: ASHA, which promotes or stops, and the median rule."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from rbt_ray.errors import SettingError
from rbt_ray.search.fidelity_ladder import Ladder
from rbt_ray.search.scheduler import Race, Step


@dataclass(frozen=True, slots=True)
class ASHA:
    """Asynchronous Successive Halving: every config begins on the lowest rung, and nobody waits for a rung to fill.

    Args:
        kind: "promotion": whoever is among the best 1/eta of a rung's results so far goes on, at once or when others have
            fallen behind. "stopping": a config goes on at once or never; it is not left waiting while others pass.

    Raises:
        SettingError: `kind` is neither.

    Source:
        Li et al. (2020), "A System for Massively Parallel Hyperparameter Tuning", MLSys, algorithm 2; the stopping
        variant is their section 4's, as Ray Tune has it.
    """

    kind: Literal["promotion", "stopping"] = "promotion"

    def __post_init__(self) -> None:
        if self.kind not in ("promotion", "stopping"):
            raise SettingError(f"`kind` of ASHA is 'promotion' or 'stopping'; got {self.kind!r}.")

    def race(self, ladder: Ladder, eta: float) -> Race:
        """See `Scheduler`."""
        if self.kind == "promotion":
            return _Promotion(len(ladder), eta)
        return _OneWay(len(ladder), lambda n_better, n: n_better < max(1.0, n / eta))


@dataclass(frozen=True, slots=True)
class MedianStopping:
    """A config goes on to the next rung unless it is worse than the median of the results there so far.

    Args:
        least: results a rung must have before anybody is stopped on it.

    Raises:
        SettingError: `least` is not a whole number above 0.

    Source:
        Golovin et al. (2017), "Google Vizier: A Service for Black-Box Optimization", KDD, section 3.2.2; here a rung's
        results are compared, not running means of reports.
    """

    least: int = 4

    def __post_init__(self) -> None:
        if isinstance(self.least, bool) or not isinstance(self.least, int) or self.least < 1:
            raise SettingError(f"`least` of MedianStopping is a whole number above 0; got {self.least!r}.")

    def race(self, ladder: Ladder, eta: float) -> Race:
        """See `Scheduler`; the ladder's eta says only how far apart the rungs are."""
        del eta
        return _OneWay(len(ladder), lambda n_better, n: n < self.least or n_better <= (n - 1) / 2)


class _Promotion:
    """ASHA that promotes: a rung is not waited for, the best 1/eta of what is there may go on."""

    def __init__(self, n_rungs: int, eta: float) -> None:
        self._eta = eta
        self._n_results = [0] * n_rungs
        self._ranked: list[list[tuple[float, int]]] = [[] for _ in range(n_rungs)]
        self._left: list[list[tuple[float, int]]] = [[] for _ in range(n_rungs)]  # those that have not gone on
        self._under_way = 0
        self._closed = False

    @property
    def done(self) -> bool:
        return self._closed and not self._under_way and self._rung_to_leave() is None

    def next(self) -> Step | None:
        rung = self._rung_to_leave()
        if rung is None:
            return None if self._closed else Step(None, 0)
        self._under_way += 1
        return Step(self._left[rung].pop(0)[1], rung + 1)

    def enter(self, slot: int, step: Step) -> None:
        del slot, step
        self._under_way += 1

    def close(self) -> None:
        self._closed = True

    def finish(self, slot: int, rung: int, loss: float | None, *, fatal: bool) -> None:
        self._under_way -= 1
        self._n_results[rung] += 1
        if not fatal:
            place = (math.inf if loss is None else loss, slot)
            insort(self._ranked[rung], place)
            insort(self._left[rung], place)

    def _rung_to_leave(self) -> int | None:
        """The highest rung from which a config may go on."""
        rungs = [rung for rung in reversed(range(len(self._left) - 1)) if self._left[rung]]
        for rung in rungs:
            if bisect_left(self._ranked[rung], self._left[rung][0]) < int(self._n_results[rung] / self._eta):
                return rung
        # Where the samples ran out before any config got to the top, the best of the highest climbs on.
        at_an_end = self._closed and not (self._under_way or self._ranked[-1])
        return rungs[0] if at_an_end and rungs else None


class _OneWay:
    """Each config climbs until it is stopped; the rule sees how many are better among a rung's results so far."""

    def __init__(self, n_rungs: int, goes_on: Callable[[int, int], bool]) -> None:
        self._goes_on = goes_on
        self._ranked: list[list[float]] = [[] for _ in range(n_rungs)]
        self._climbing: deque[Step] = deque()
        self._under_way = 0
        self._closed = False

    @property
    def done(self) -> bool:
        return self._closed and not self._under_way and not self._climbing

    def next(self) -> Step | None:
        if self._climbing:
            self._under_way += 1
            return self._climbing.popleft()
        return None if self._closed else Step(None, 0)

    def enter(self, slot: int, step: Step) -> None:
        del slot, step
        self._under_way += 1

    def close(self) -> None:
        self._closed = True

    def finish(self, slot: int, rung: int, loss: float | None, *, fatal: bool) -> None:
        self._under_way -= 1
        ranked, place = self._ranked[rung], math.inf if loss is None else loss
        n_better = bisect_left(ranked, place)
        insort(ranked, place)
        if rung + 1 < len(self._ranked) and not fatal and self._goes_on(n_better, len(ranked)):
            self._climbing.append(Step(slot, rung + 1))
