"""Long what has fallen far below its mean, until it is back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rbt_ray.objectives.builtin.entry_exit import EntryExit, Indicator, Level
from rbt_ray.objectives.builtin.strategy import USUAL, Parameter, bars
from rbt_ray.types import Execution, FloatArray, Rebalance

if TYPE_CHECKING:
    from rbt_ray.data.view import BundleView


def mean_reversion(
    turnover_bps: float = 5.0,
    execution: Execution | None = None,
    metrics: tuple[str, ...] = USUAL,
    rebalance: Rebalance = "on_change",
) -> MeanReversion:
    """Mean reversion by z-scores, with parameters `window` (bars, at least 2), `entry` and `exit` (deviations).

    The z-score is how many sample deviations a close lies above the mean of the last `window` closes, its own among
    them. A symbol is bought where it is below `-entry` and sold where it is above `-exit`, as with `entry=2` and
    `exit=0.5`; a bar on which both hold ends a position.

    The arguments are those of `sma_cross`.

    Source:
        Bollinger (2001), "Bollinger on Bollinger Bands"; Chan (2013), "Algorithmic Trading", chapter 2.
    """
    return MeanReversion(turnover_bps, execution, metrics, rebalance)


def _score(data: BundleView, window: int) -> FloatArray:
    from rbt_ray.simulate.indicators import zscore

    return zscore(data["close"], window)


def _score_below(data: BundleView, window: int) -> FloatArray:
    score: FloatArray = data.memo(_score, window)
    return -score


@dataclass(frozen=True, slots=True)
class MeanReversion(EntryExit):
    """See `mean_reversion`."""

    name: ClassVar[str] = "mean_reversion"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        bars("window", least=2),
        Parameter("entry", -100.0, 100.0),
        Parameter("exit", -100.0, 100.0),
    )
    example: ClassVar[Mapping[str, float]] = {"window": 20, "entry": 1.5, "exit": 0.5}
    windows: ClassVar[tuple[str, ...]] = ("window",)
    entry: ClassVar[Indicator] = _score_below
    leaving: ClassVar[Indicator] = _score

    def levels(self, params: Mapping[str, Level]) -> tuple[Level, Level]:
        """`-z` above the entry, `z` above the negative exit."""
        return params["entry"], -params["exit"]
