"""Hyperband and Successive Halving: configs compete on a rung, and the best are promoted to the next."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from heapq import heappop, heappush

from rbt_ray.search.scheduler import Ladder, Race, Rank, Step, best_first, bracket_sizes, halvings


@dataclass(frozen=True, slots=True)
class Hyperband:
    """Brackets that start on each rung in turn: many configs on the lowest, few at full fidelity.

    While one bracket waits for results the next one starts, so that no worker idles at the end of a rung.

    Source:
        Li et al. (2018), JMLR 18(185).
    """

    def race(self, ladder: Ladder, eta: float) -> Race:
        """See `Scheduler`."""
        return _Brackets(len(ladder), len(ladder), eta)


@dataclass(frozen=True, slots=True)
class SuccessiveHalving:
    """Repeats the first of Hyperband's brackets: every config starts on the lowest rung.

    Source:
        Jamieson and Talwalkar (2016), "Non-stochastic Best Arm Identification and Hyperparameter Optimization", AISTATS.
    """

    def race(self, ladder: Ladder, eta: float) -> Race:
        """See `Scheduler`."""
        return _Brackets(len(ladder), 1, eta)


class _Brackets:
    """The brackets in progress; the oldest is served first.

    Args:
        n_rungs: the number of rungs of the ladder.
        n_kinds: how many different brackets take turns.
        eta: the factor between rungs.
    """

    def __init__(self, n_rungs: int, n_kinds: int, eta: float) -> None:
        self._n_rungs, self._n_kinds, self._eta = n_rungs, n_kinds, eta
        self._open: dict[int, _Bracket] = {}
        self._ready: list[int] = []  # a heap with the numbers of all brackets that have a next step, and some others
        self._bracket_of: dict[int, _Bracket] = {}  # of the slots under way
        self._n_started = 0
        self._closed = False

    @property
    def done(self) -> bool:
        return self._closed and not self._open

    def next(self) -> Step | None:
        while self._ready:
            ready = self._open.get(self._ready[0])
            if ready is not None and (step := ready.next()) is not None:
                if step.slot is not None:
                    self._bracket_of[step.slot] = ready
                return step
            heappop(self._ready)
        if self._closed:
            return None
        bracket = _Bracket(self._n_started, self._n_rungs, self._n_started % self._n_kinds, self._eta)
        self._open[bracket.number] = bracket
        heappush(self._ready, bracket.number)
        self._n_started += 1
        return bracket.next()

    def enter(self, slot: int, step: Step) -> None:
        self._bracket_of[slot] = self._open[step.bracket]
        self._bracket_of[slot].enter(slot)

    def close(self) -> None:
        self._closed = True
        for bracket in list(self._open.values()):
            bracket.close()
            self._update(bracket)

    def finish(self, slot: int, rung: int, loss: Rank, *, fatal: bool) -> None:
        bracket = self._bracket_of.pop(slot)
        bracket.finish(slot, rung, loss, fatal=fatal)
        self._update(bracket)

    def _update(self, bracket: _Bracket) -> None:
        if bracket.done:
            self._open.pop(bracket.number, None)
        elif bracket.has_promoted:
            heappush(self._ready, bracket.number)


class _Bracket:
    """One run of Successive Halving: a rung is complete before the next one starts."""

    def __init__(self, number: int, n_rungs: int, kind: int, eta: float) -> None:
        self.number = number
        self._eta = eta
        self._sizes = bracket_sizes(n_rungs, kind, eta)
        self._first_rung = n_rungs - len(self._sizes)
        self._rung = self._first_rung
        self._missing = self._sizes[0]  # configs to sample
        self._waiting: deque[int] = deque()  # slots to evaluate on the rung
        self._under_way: set[int] = set()
        self._losses: dict[int, Rank] = {}  # on the rung, in the order of its slots
        self._fatal: set[int] = set()
        self.done = False

    @property
    def has_promoted(self) -> bool:
        """Whether promoted configs wait for their evaluation."""
        return bool(self._waiting)

    def next(self) -> Step | None:
        if self._missing:
            return Step(None, self._rung, self.number)
        if not self._waiting:
            return None
        slot = self._waiting.popleft()
        self._under_way.add(slot)
        return Step(slot, self._rung, self.number)

    def enter(self, slot: int) -> None:
        self._missing -= 1
        self._losses[slot] = None
        self._under_way.add(slot)

    def close(self) -> None:
        if self._missing:  # shrink the bracket
            self._missing = 0
            self._sizes = halvings(len(self._losses), len(self._sizes) - 1, self._eta)
            self._promote_if_complete()

    def finish(self, slot: int, rung: int, loss: Rank, *, fatal: bool) -> None:
        assert rung == self._rung
        self._under_way.remove(slot)
        self._losses[slot] = loss
        if fatal:
            self._fatal.add(slot)
        self._promote_if_complete()

    def _promote_if_complete(self) -> None:
        if self._missing or self._under_way or self._waiting or self.done:
            return
        promoted = self._rung + 1 - self._first_rung
        if promoted == len(self._sizes) or not (best := best_first(self._losses, self._fatal)):
            self.done = True
            return
        self._waiting = deque(sorted(best[: self._sizes[promoted]]))
        self._losses = dict.fromkeys(self._waiting)
        self._rung += 1
