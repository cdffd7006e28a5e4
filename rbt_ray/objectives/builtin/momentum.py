"""Long what has risen: time-series momentum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rbt_ray.objectives.builtin.entry_exit import EntryExit, Indicator, Level
from rbt_ray.objectives.builtin.strategy import USUAL, Parameter, bars
from rbt_ray.types import Execution, FloatArray, Rebalance

if TYPE_CHECKING:
    from rbt_ray.data.view import BundleView


def momentum(
    turnover_bps: float = 5.0,
    execution: Execution | None = None,
    metrics: tuple[str, ...] = USUAL,
    rebalance: Rebalance = "on_change",
) -> Momentum:
    """Time-series momentum, with parameters `lookback` (bars, at least 1) and `threshold` (a return, above -1).

    A symbol is held while its return over its last `lookback` bars is above `threshold`: 0.05 is five percent.

    The arguments are those of `sma_cross`.

    Source:
        Moskowitz, Ooi, Pedersen (2012), "Time Series Momentum", Journal of Financial Economics 104(2), 228-250.
    """
    return Momentum(turnover_bps, execution, metrics, rebalance)


def _risen(data: BundleView, lookback: int) -> FloatArray:
    from rbt_ray.simulate.indicators import momentum

    return momentum(data["close"], lookback)


@dataclass(frozen=True, slots=True)
class Momentum(EntryExit):
    """See `momentum`."""

    name: ClassVar[str] = "momentum"
    parameters: ClassVar[tuple[Parameter, ...]] = (bars("lookback"), Parameter("threshold", -1.0))
    example: ClassVar[Mapping[str, float]] = {"lookback": 126, "threshold": 0.0}
    windows: ClassVar[tuple[str, ...]] = ("lookback",)
    entry: ClassVar[Indicator] = _risen
    leaving: ClassVar[Indicator] = _risen
    holds: ClassVar[bool] = False

    def levels(self, params: Mapping[str, Level]) -> tuple[Level, Level]:
        """The threshold."""
        return params["threshold"], params["threshold"]
