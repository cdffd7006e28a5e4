"""Long what is oversold by Wilder's relative strength index, until it is overbought."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rbt_ray.objectives.builtin.entry_exit import EntryExit, Indicator, Level
from rbt_ray.objectives.builtin.strategy import USUAL, Parameter, bars
from rbt_ray.types import Execution, FloatArray, Rebalance

if TYPE_CHECKING:
    from rbt_ray.data.view import BundleView


def rsi(
    turnover_bps: float = 5.0,
    execution: Execution | None = None,
    metrics: tuple[str, ...] = USUAL,
    rebalance: Rebalance = "on_change",
) -> RelativeStrength:
    """Wilder's index, with parameters `window` (bars, at least 1), `low` and `high` (0 to 100).

    A symbol is bought where its index is below `low`, and sold where it is above `high`; a bar on which both hold ends
    a position.

    The arguments are those of `sma_cross`.

    Source:
        Wilder (1978), "New Concepts in Technical Trading Systems".
    """
    return RelativeStrength(turnover_bps, execution, metrics, rebalance)


def _strength(data: BundleView, window: int) -> FloatArray:
    from rbt_ray.simulate.indicators import rsi

    return rsi(data["close"], window)


def _weakness(data: BundleView, window: int) -> FloatArray:
    strength: FloatArray = data.memo(_strength, window)
    return -strength


@dataclass(frozen=True, slots=True)
class RelativeStrength(EntryExit):
    """See `rsi`."""

    name: ClassVar[str] = "rsi"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        bars("window"),
        Parameter("low", 0.0, 100.0),
        Parameter("high", 0.0, 100.0),
    )
    example: ClassVar[Mapping[str, float]] = {"window": 14, "low": 35.0, "high": 60.0}
    windows: ClassVar[tuple[str, ...]] = ("window",)
    entry: ClassVar[Indicator] = _weakness
    leaving: ClassVar[Indicator] = _strength

    def levels(self, params: Mapping[str, Level]) -> tuple[Level, Level]:
        """The negative index above the negative low, the index above the high."""
        return -params["low"], params["high"]
