"""Races of configs by several metrics: those that others dominate stop."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rbt_ray.errors import SettingError
from rbt_ray.pareto import fronts
from rbt_ray.search.asha import ASHA, MedianStopping, OpenConfigs, stopping_rule
from rbt_ray.search.hyperband import Hyperband, SuccessiveHalving
from rbt_ray.search.scheduler import Ladder, Race, Rank, Scheduler, Step, order_of


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
