"""StrategyAdapter: an objective that runs a strategy written for another backtester."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle


@dataclasses.dataclass(frozen=True)
class StrategyAdapter(ABC):
    """Base class of the objectives of `rbt_ray.adapters`: a frozen dataclass whose fields are its settings.

    Args:
        strategy: the user's class or function.
    """

    strategy: Any

    @property
    def title(self) -> str:
        """The names of the adapter and the strategy."""
        own = getattr(self.strategy, "__qualname__", type(self.strategy).__qualname__)
        return f"{type(self).__name__}({own})"

    @property
    def made_of(self) -> list[Any]:
        """Its identity for fingerprints: the settings, as functions, classes and text."""
        return [type(self).__name__, *(value if callable(value) else repr(value) for value in self.settings())]

    def settings(self) -> list[Any]:
        """Returns the values of all fields, the strategy first."""
        return [getattr(self, field.name) for field in dataclasses.fields(self)]

    @property
    def constraints(self) -> tuple[Any, ...]:
        """Constraints that the user gave in the backtester's own way, for the study."""
        return ()

    def with_costs_times(self, factor: float) -> StrategyAdapter | None:  # noqa: ARG002 - for adapters that have costs
        """Returns the same objective with its costs multiplied by a factor; None if the user's code sets them."""
        return None

    @abstractmethod
    def check(self, names: Collection[str], bundle: Bundle | None) -> None:
        """Checks for faults that would fail every trial.

        Args:
            names: the names of the parameters.
            bundle: prices of the study.

        Raises:
            ObjectiveError: the strategy cannot be run with these parameters, or on these prices.
        """
