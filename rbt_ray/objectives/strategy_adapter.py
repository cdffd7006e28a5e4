"""StrategyAdapter: an objective made of a strategy that was written for another backtester."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle


@dataclasses.dataclass(frozen=True)
class StrategyAdapter(ABC):
    """What `rbt_ray.adapters` makes of a strategy: a frozen dataclass, whose fields are all its settings.

    Args:
        strategy: the user's own class or function.
    """

    strategy: Any

    @property
    def title(self) -> str:
        """The adapter's name and the strategy's."""
        own = getattr(self.strategy, "__qualname__", type(self.strategy).__qualname__)
        return f"{type(self).__name__}({own})"

    @property
    def made_of(self) -> list[Any]:
        """What tells it from others: its settings, as functions, classes and text."""
        return [type(self).__name__, *(value if callable(value) else repr(value) for value in self.settings())]

    def settings(self) -> list[Any]:
        """The values of all fields, the strategy first."""
        return [getattr(self, field.name) for field in dataclasses.fields(self)]

    @abstractmethod
    def check(self, names: Collection[str], bundle: Bundle | None) -> None:
        """Refuses what would fail every trial alike.

        Args:
            names: of the parameters a config has.
            bundle: the study's prices.

        Raises:
            ObjectiveError: the strategy cannot be run with these parameters, or on these prices.
        """
