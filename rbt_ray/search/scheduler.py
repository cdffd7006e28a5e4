"""The ladder of fidelities, and the scheduler protocol: at which one to evaluate a config, and which configs to promote."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np

from rbt_ray import pareto

Ladder = tuple[float, ...]
"""Fidelities, ascending; the last is 1."""

Losses: TypeAlias = tuple[float, ...]
"""The losses of a trial by several metrics."""

Rank: TypeAlias = float | Losses | None
"""What a race compares: the loss, or the losses by several metrics; a number of 1e300 or more for an infeasible trial, which ranks
below every feasible one; None for a trial that did not complete, which ranks below all."""

_SLACK = 1e-9  # 27 * 3**-3 must count as 1 despite rounding


def ladder_from(lowest: float, eta: float) -> Ladder:
    """Returns the fidelities 1, 1/eta, 1/eta**2, ... that are not below `lowest`, ascending.

    Args:
        lowest: above 0 and at most 1.
        eta: above 1.
    """
    n_rungs = 1 + math.floor(math.log(1 / lowest) / math.log(eta) + _SLACK)
    return tuple(float(eta) ** -k for k in reversed(range(n_rungs)))


@cache
def bracket_sizes(n_rungs: int, bracket: int, eta: float) -> tuple[int, ...]:
    """Returns how many configs each rung of a Hyperband bracket holds, from its first rung to full fidelity.

    Brackets repeat after `n_rungs`; the first starts on the lowest rung, the last at full fidelity.

    Source:
        Li et al. (2018), "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", JMLR 18(185), as
        hpbandster rounds it: floor(n_rungs / (s + 1)) * eta**s configs start s rungs below full fidelity.
    """
    above = n_rungs - 1 - bracket % n_rungs
    first = int(n_rungs // (above + 1) * eta**above + _SLACK)
    return halvings(first, above, eta)


def halvings(first: int, n_times: int, eta: float) -> tuple[int, ...]:
    """Returns `first` and what is left of it after each division by eta; at least 1."""
    return tuple(max(int(first * eta**-k + _SLACK), 1) for k in range(n_times + 1))


@dataclass(frozen=True, slots=True)
class Step:
    """An evaluation of a config on a rung.

    Args:
        slot: the config's number in the order of sampling; None for a new config.
        rung: its position on the ladder.
        bracket: the number of the bracket that asks for it.
    """

    slot: int | None
    rung: int
    bracket: int = 0


class Race(Protocol):
    """The promotion of configs up a ladder of fidelities; pure."""

    @property
    def done(self) -> bool:
        """Whether it is closed and will promote no further config."""
        ...

    def next(self) -> Step | None:
        """Returns the next evaluation; None if it waits for results or is done.

        After a step for a new config, call `enter` or `close` before the next `next`.
        """
        ...

    def enter(self, slot: int, step: Step) -> None:
        """Assigns a slot to the new config that `next` asked for."""
        ...

    def close(self) -> None:
        """Ends the supply of new configs; called once."""
        ...

    def finish(self, slot: int, rung: int, loss: Rank, *, fatal: bool) -> None:
        """Records the result of a step.

        Args:
            slot: the config's slot.
            rung: the rung of the evaluation.
            loss: see `Rank`.
            fatal: whether the config would fail on a higher rung too.
        """
        ...


@runtime_checkable
class Scheduler(Protocol):
    """The settings of a scheduler, as a user writes them."""

    def race(self, ladder: Ladder, eta: float) -> Race:
        """Returns a fresh race up a ladder."""
        ...


def best_first(losses: dict[int, Rank], fatal: set[int]) -> list[int]:
    """Returns slots by ascending loss: failed ones last, fatal ones left out, ties in order of arrival."""
    fit = [slot for slot in losses if slot not in fatal]
    return [fit[at] for at in order_of([losses[slot] for slot in fit])]


def order_of(ranks: Sequence[Rank]) -> list[int]:
    """Returns the positions of ranks, best first and ties in order of arrival; losses by several metrics in `pareto.best_first`."""
    several = [at for at, rank in enumerate(ranks) if isinstance(rank, tuple)]
    losses = np.array([ranks[at] for at in several], np.float64)
    found = [several[at] for at in pareto.best_first(losses).tolist()] if several else []
    worst = float("inf")
    others = [at for at, rank in enumerate(ranks) if not isinstance(rank, tuple)]
    return found + sorted(others, key=lambda at: worst if ranks[at] is None else ranks[at])  # type: ignore[arg-type,return-value]
