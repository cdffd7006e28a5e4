"""What a scheduler is: it says at which fidelity a config is evaluated, and which configs go on to a higher one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rbt_ray.search.fidelity_ladder import Ladder


@dataclass(frozen=True, slots=True)
class Step:
    """A config, by its slot, to be evaluated on a rung.

    Args:
        slot: the config's number in the order of sampling; None: a new config.
        rung: position on the ladder.
        bracket: which of the race's brackets asks for it.
    """

    slot: int | None
    rung: int
    bracket: int = 0


class Race(Protocol):
    """Configs on their way up a ladder; pure."""

    @property
    def done(self) -> bool:
        """Whether it was closed, and every config has come as far as it will."""
        ...

    def next(self) -> Step | None:
        """What to evaluate next; None: results have to come first, or it is done.

        A step for a new config is answered by `enter`, or by `close`, before the next one is asked for.
        """
        ...

    def enter(self, slot: int, step: Step) -> None:
        """The new config that was asked for has this slot."""
        ...

    def close(self) -> None:
        """There are no new configs any more; called once."""
        ...

    def finish(self, slot: int, rung: int, loss: float | None, *, fatal: bool) -> None:
        """What came of a step.

        Args:
            slot: the config's.
            rung: where it was evaluated.
            loss: None where the trial did not complete: worse than all that did.
            fatal: it would not complete on a higher rung either.
        """
        ...


@runtime_checkable
class Scheduler(Protocol):
    """The settings of a race, as a user writes them."""

    def race(self, ladder: Ladder, eta: float) -> Race:
        """A fresh race up that ladder."""
        ...


def best_first(losses: dict[int, float | None], fatal: set[int]) -> list[int]:
    """Slots from the best to the worst: failed ones last, fatal ones left out; of equals the one that was first."""
    worst = float("inf")
    fit = [slot for slot in losses if slot not in fatal]
    return sorted(fit, key=lambda slot: worst if losses[slot] is None else losses[slot])  # type: ignore[arg-type,return-value]
