"""Hyperband and Successive Halving: configs compete on a rung, and the best of them go on to the next."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from rbt_ray.search.fidelity_ladder import Ladder, bracket_sizes, halvings
from rbt_ray.search.scheduler import Race, Step, best_first


@dataclass(frozen=True, slots=True)
class Hyperband:
    """Brackets that begin on every rung in turn: many configs on the lowest, few at full fidelity.

    While one bracket waits for results the next begins, so that no worker waits at a rung's end.

    Source:
        Li et al. (2018), JMLR 18(185).
    """

    def race(self, ladder: Ladder, eta: float) -> Race:
        """See `Scheduler`."""
        return _Brackets(len(ladder), len(ladder), eta)


@dataclass(frozen=True, slots=True)
class SuccessiveHalving:
    """The first of Hyperband's brackets, again and again: every config begins on the lowest rung.

    Source:
        Jamieson and Talwalkar (2016), "Non-stochastic Best Arm Identification and Hyperparameter Optimization", AISTATS.
    """

    def race(self, ladder: Ladder, eta: float) -> Race:
        """See `Scheduler`."""
        return _Brackets(len(ladder), 1, eta)


class _Brackets:
    """Brackets in flight, the oldest served first.

    Args:
        n_rungs: of the ladder.
        n_kinds: how many of the brackets come in turn.
        eta: of the ladder.
    """

    def __init__(self, n_rungs: int, n_kinds: int, eta: float) -> None:
        self._n_rungs, self._n_kinds, self._eta = n_rungs, n_kinds, eta
        self._open: dict[int, _Bracket] = {}
        self._home: dict[int, _Bracket] = {}
        self._begun = 0
        self._closed = False

    @property
    def done(self) -> bool:
        return self._closed and not self._open

    def next(self) -> Step | None:
        for bracket in self._open.values():
            if (step := bracket.next()) is not None:
                return step
        if self._closed:
            return None
        bracket = _Bracket(self._begun, self._n_rungs, self._begun % self._n_kinds, self._eta)
        self._open[bracket.number] = bracket
        self._begun += 1
        return bracket.next()

    def enter(self, slot: int, step: Step) -> None:
        self._home[slot] = self._open[step.bracket]
        self._home[slot].enter(slot)

    def close(self) -> None:
        self._closed = True
        for bracket in list(self._open.values()):
            bracket.close()
            self._forget_if_done(bracket)

    def finish(self, slot: int, rung: int, loss: float | None, *, fatal: bool) -> None:
        bracket = self._home[slot]
        bracket.finish(slot, rung, loss, fatal=fatal)
        self._forget_if_done(bracket)

    def _forget_if_done(self, bracket: _Bracket) -> None:
        if bracket.done:
            self._open.pop(bracket.number, None)


class _Bracket:
    """One run of Successive Halving: a rung is complete before the next begins."""

    def __init__(self, number: int, n_rungs: int, kind: int, eta: float) -> None:
        self.number = number
        self._eta = eta
        self._sizes = bracket_sizes(n_rungs, kind, eta)
        self._first_rung = n_rungs - len(self._sizes)
        self._rung = self._first_rung
        self._missing = self._sizes[0]  # configs still to be sampled
        self._waiting: deque[int] = deque()  # to be evaluated on the rung
        self._under_way: set[int] = set()
        self._losses: dict[int, float | None] = {}  # of the rung, in the order of its slots
        self._fatal: set[int] = set()
        self.done = False

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
        if self._missing:  # a smaller bracket
            self._missing = 0
            self._sizes = halvings(len(self._losses), len(self._sizes) - 1, self._eta)
            self._climb_if_complete()

    def finish(self, slot: int, rung: int, loss: float | None, *, fatal: bool) -> None:
        assert rung == self._rung
        self._under_way.remove(slot)
        self._losses[slot] = loss
        if fatal:
            self._fatal.add(slot)
        self._climb_if_complete()

    def _climb_if_complete(self) -> None:
        if self._missing or self._under_way or self._waiting or self.done:
            return
        climbed = self._rung + 1 - self._first_rung
        if climbed == len(self._sizes) or not (best := best_first(self._losses, self._fatal)):
            self.done = True
            return
        self._waiting = deque(sorted(best[: self._sizes[climbed]]))
        self._losses = dict.fromkeys(self._waiting)
        self._rung += 1
