"""Results of several metrics by non-dominated sorting: ranked for models, and raced by schedulers, which stop dominated configs."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rbt_ray.errors import SettingError
from rbt_ray.pareto import best_first, fronts
from rbt_ray.search.asha import ASHA, MedianStopping, OpenConfigs, stopping_rule
from rbt_ray.search.encoding import Encoding, Ranking
from rbt_ray.search.hyperband import Hyperband, SuccessiveHalving
from rbt_ray.search.scheduler import Ladder, Losses, Race, Rank, Scheduler, Step, order_of
from rbt_ray.types import FloatArray, IntArray

_RANKED_SHARE, _LEAST_RANKED = 0.2, 50
"""How many results get their own front: at least as many as models count as good."""


class FrontRanking(Ranking):
    """Points by the Pareto front of their losses, and within a front those in empty regions first.

    The loss of a point that completed is the number of its front: 0 if no other one dominates it. Infeasible points follow by
    violation, and those that did not complete come last.

    Args:
        encoding: how points are stored.
    """

    def __init__(self, encoding: Encoding) -> None:
        super().__init__(encoding)
        self._points: list[FloatArray] = []
        self._ranks: list[Losses | float] = []
        self._is_sorted = True

    def __len__(self) -> int:
        return len(self._points)

    def add(self, point: FloatArray, loss: Losses | float) -> None:
        """Adds a result.

        Args:
            point: ``(n_params,)``.
            loss: the losses; for a trial that is infeasible or did not complete, a number above 1e300.
        """
        self._points.append(point)
        self._ranks.append(loss)
        self._is_sorted = False
        self.n_completed += isinstance(loss, tuple) or math.isfinite(loss)

    def _insert(self) -> None:
        if self._is_sorted:
            return
        self._is_sorted = True
        several = [row for row, rank in enumerate(self._ranks) if isinstance(rank, tuple)]
        behind = [row for row, rank in enumerate(self._ranks) if not isinstance(rank, tuple)]
        behind.sort(key=self._ranks.__getitem__)
        order, front = _by_front(np.array([self._ranks[row] for row in several], np.float64))
        rows = [several[row] for row in order.tolist()] + behind
        self._levels = self._encoding.encode(np.array([self._points[row] for row in rows])).T
        self._losses = np.concatenate([front, np.array([self._ranks[row] for row in behind], np.float64)])
        self._sorted = len(rows)


def _by_front(losses: FloatArray) -> tuple[IntArray, FloatArray]:
    """Returns the rows of ``(n, n_metrics)`` losses, best first, and the number of the front of each of these rows."""
    n = max(_LEAST_RANKED, math.ceil(_RANKED_SHARE * len(losses)))
    best = best_first(losses, n)
    order = np.concatenate([best, np.setdiff1d(np.arange(len(losses)), best)])
    return order, fronts(losses, n)[order].astype(np.float64)


@dataclass(frozen=True, slots=True)
class FrontScheduler:
    """A built-in scheduler that ranks configs by non-dominated sorting.

    Args:
        scheduler: its settings.

    Raises:
        SettingError: it compares configs by one metric.

    Source:
        Schmucker, Donini, Zafar, Salinas and Archambeau (2021), "Multi-objective Asynchronous Successive Halving",
        arXiv:2106.12639.
    """

    scheduler: Scheduler

    def __post_init__(self) -> None:
        if not isinstance(self.scheduler, (ASHA, Hyperband, MedianStopping, SuccessiveHalving)):
            raise SettingError(
                f"`metric` names several metrics, and `scheduler` {type(self.scheduler).__name__} compares configs by one: use "
                f"'hyperband', 'asha', 'successive_halving' or 'median', or name one metric."
            )

    def race(self, ladder: Ladder, eta: float) -> Race:
        """See `Scheduler`."""
        scheduler = self.scheduler
        if isinstance(scheduler, ASHA) and scheduler.kind == "promotion":
            return _FrontPromotion(len(ladder), eta)
        if isinstance(scheduler, (ASHA, MedianStopping)):
            return _FrontOneWay(len(ladder), stopping_rule(scheduler, eta))
        return scheduler.race(ladder, eta)  # a bracket compares whole rungs, by `order_of`


class _FrontPromotion(OpenConfigs):
    """ASHA by promotion: the first 1/eta of a rung's results in `order_of` may go to the next one."""

    def __init__(self, n_rungs: int, eta: float) -> None:
        super().__init__()
        self._eta = eta
        self._n_results = [0] * n_rungs
        self._ranks: list[dict[int, Rank]] = [{} for _ in range(n_rungs)]  # without those that would fail above
        self._order: list[list[int]] = [[] for _ in range(n_rungs)]
        self._promoted: list[set[int]] = [set() for _ in range(n_rungs)]

    @property
    def done(self) -> bool:
        return self._closed and not self._under_way and self._to_promote() is None

    def next(self) -> Step | None:
        found = self._to_promote()
        if found is None:
            return None if self._closed else Step(None, 0)
        slot, rung = found
        self._promoted[rung].add(slot)
        self._under_way += 1
        return Step(slot, rung + 1)

    def finish(self, slot: int, rung: int, loss: Rank, *, fatal: bool) -> None:
        self._under_way -= 1
        self._n_results[rung] += 1
        if not fatal:
            self._ranks[rung][slot] = loss
            slots = list(self._ranks[rung])
            self._order[rung] = [slots[at] for at in order_of(list(self._ranks[rung].values()))]

    def _to_promote(self) -> tuple[int, int] | None:
        """Returns a slot to promote and its rung, the highest one possible; None if there is none."""
        for rung in reversed(range(len(self._order) - 1)):
            for slot in self._order[rung][: int(self._n_results[rung] / self._eta)]:
                if slot not in self._promoted[rung]:
                    return slot, rung
        if not self._closed or self._under_way or self._ranks[-1]:
            return None
        # If no config reached full fidelity and no samples are left, promote the best of the highest rung.
        for rung in reversed(range(len(self._order) - 1)):
            left = [slot for slot in self._order[rung] if slot not in self._promoted[rung]]
            if left:
                return left[0], rung
        return None


class _FrontOneWay(OpenConfigs):
    """Promotes each config until `promotes(n_better, n_results)` is False; those on fronts before its own are better."""

    def __init__(self, n_rungs: int, promotes: Callable[[int, int], bool]) -> None:
        super().__init__()
        self._promotes = promotes
        self._ranks: list[list[Rank]] = [[] for _ in range(n_rungs)]
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
        ranks = self._ranks[rung]
        ranks.append(loss)
        if rung + 1 < len(self._ranks) and not fatal and self._promotes(_n_better(ranks), len(ranks)):
            self._promoted.append(Step(slot, rung + 1))


def _n_better(ranks: list[Rank]) -> int:
    """Returns how many ranks are better than the last one."""
    last = ranks[-1]
    several = [rank for rank in ranks if isinstance(rank, tuple)]
    if isinstance(last, tuple):
        front = fronts(np.array(several, np.float64))
        return int((front < front[-1]).sum())
    numbers = [rank for rank in ranks if isinstance(rank, float)]
    return len(several) + (len(numbers) if last is None else sum(rank < last for rank in numbers))
