"""The scheduler protocol: at which fidelity to evaluate a config, and which configs to promote to a higher one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rbt_ray.search.fidelity_ladder import Ladder


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

    def finish(self, slot: int, rung: int, loss: float | None, *, fatal: bool) -> None:
        """Records the result of a step.

        Args:
            slot: the config's slot.
            rung: the rung of the evaluation.
            loss: None if the trial did not complete, which ranks below every loss. An infeasible trial has a number of 1e300 or
                more, which ranks below every feasible one.
            fatal: whether the config would fail on a higher rung too.
        """
        ...


@runtime_checkable
class Scheduler(Protocol):
    """The settings of a scheduler, as a user writes them."""

    def race(self, ladder: Ladder, eta: float) -> Race:
        """Returns a fresh race up a ladder."""
        ...


def best_first(losses: dict[int, float | None], fatal: set[int]) -> list[int]:
    """Returns slots by ascending loss: failed ones last, fatal ones left out, ties in order of arrival."""
    worst = float("inf")
    fit = [slot for slot in losses if slot not in fatal]
    return sorted(fit, key=lambda slot: worst if losses[slot] is None else losses[slot])  # type: ignore[arg-type,return-value]
