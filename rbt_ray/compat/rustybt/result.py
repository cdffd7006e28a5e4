"""OptimizationResult: what one trial told."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

SCORE = "score"
"""The metric of a study that this package runs, unless the objective returns Backtests."""


@dataclass(frozen=True)
class OptimizationResult:
    """A trial.

    Args:
        trial_id: its number, from 0.
        params: what was tried.
        score: how well it did, higher is better; -Infinity where it failed.
        backtest_metrics: what else the objective returned.
        error: why it failed, or None.
        duration_seconds: how long it took.
        fidelity: the share of the bundle's bars it saw.
        worker: who evaluated it.
    """

    trial_id: int
    params: dict[str, Any]
    score: Decimal
    backtest_metrics: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    duration_seconds: Decimal = Decimal(0)
    fidelity: float = 1.0
    worker: str = ""

    @property
    def is_success(self) -> bool:
        """Whether it did not fail."""
        return self.error is None

    def to_dict(self) -> dict[str, Any]:
        """All of it, decimals as text, so that JSON holds it exactly."""
        return {**asdict(self), "score": str(self.score), "duration_seconds": str(self.duration_seconds)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> OptimizationResult:
        """The inverse of `to_dict`."""
        numbers = {name: Decimal(data[name]) for name in ("score", "duration_seconds")}
        return cls(**{**data, **numbers})
