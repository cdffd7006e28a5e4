"""Long from a new high until a new low."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from rbt_ray.objectives.builtin.entry_exit import EntryExit, Indicator, Level
from rbt_ray.objectives.builtin.strategy import USUAL, Parameter, bars
from rbt_ray.types import Execution, FloatArray, Rebalance

if TYPE_CHECKING:
    from rbt_ray.data.view import BundleView


def breakout(
    turnover_bps: float = 5.0,
    execution: Execution | None = None,
    metrics: tuple[str, ...] = USUAL,
    rebalance: Rebalance = "on_change",
) -> Breakout:
    """Returns Donchian's channel, with parameters `entry` and `exit` (bars, at least 1).

    A symbol is bought when its close is above the highest high of the `entry` bars before, and sold when it is below the
    lowest low of the `exit` bars before. Without highs or lows in the bundle, closes are used.

    The arguments are those of `sma_cross`.

    Source:
        Donchian's four-week rule, as the Turtles traded it: Faith (2007), "Way of the Turtle".
    """
    return Breakout(turnover_bps, execution, metrics, rebalance)


def _above_highs(data: BundleView, window: int) -> FloatArray:
    highs = data.rolling_max("high" if "high" in data.fields else "close", window)
    return data["close"] / _bar_before(highs) - 1.0


def _below_lows(data: BundleView, window: int) -> FloatArray:
    lows = data.rolling_min("low" if "low" in data.fields else "close", window)
    return _bar_before(lows) / data["close"] - 1.0


def _bar_before(values: FloatArray) -> FloatArray:
    return np.vstack([np.full((1, values.shape[1]), np.nan), values[:-1]])


@dataclass(frozen=True, slots=True)
class Breakout(EntryExit):
    """See `breakout`."""

    name: ClassVar[str] = "breakout"
    parameters: ClassVar[tuple[Parameter, ...]] = (bars("entry"), bars("exit"))
    example: ClassVar[Mapping[str, float]] = {"entry": 55, "exit": 20}
    windows: ClassVar[tuple[str, ...]] = ("entry", "exit")
    entry: ClassVar[Indicator] = _above_highs
    leaving: ClassVar[Indicator] = _below_lows

    def levels(self, params: Mapping[str, Level]) -> tuple[Level, Level]:
        """Returns 0 for both: the indicators are relative to the channel."""
        nothing = params["entry"] * 0.0
        return nothing, nothing
