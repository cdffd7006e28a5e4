"""The metrics of a run: one table of their names, units and formulas, and one function that computes them.

Every bar counts, including the first and those before any trade. Formulas use `r`, the ``n`` returns per bar; `m`, their
mean; `s`, their sample deviation (``ddof=1``); `E`, the running product of `1 + r`; and `P`, the periods per year.

Ratios without a denominator are NaN. Returns count as constant if `s**2 <= 1e-12 * m**2`, since such an `s` is rounding
error: `sharpe`, `skew` and `kurtosis` are NaN then. The threshold also fits sums taken in one pass.

This module does not import Numba: module `metric_kernel` computes the sums of one run, and `objectives.sweep` those of many.

Source:
    Sharpe (1994), "The Sharpe Ratio", Journal of Portfolio Management 21(1), 49-58. Sortino and van der Meer (1991),
    "Downside Risk", Journal of Portfolio Management 17(4), 27-31, with a target of 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a run.

    Args:
        name: as users write it.
        unit: "share" (0.01 is one percent), "ratio", "per year" (in units of the equity), "count" or "number".
        better: which direction is better; None if neither is.
        formula: how it is computed.
        sums: those of `SUMS` that it is computed from.
    """

    name: str
    unit: Literal["share", "ratio", "per year", "count", "number"]
    better: Literal["max", "min"] | None
    formula: str
    sums: tuple[str, ...]

    @property
    def needs_trades(self) -> bool:
        """Whether it needs trades and holdings besides the returns."""
        return not {"traded", "held", "fills", "trips"}.isdisjoint(self.sums)

    @property
    def needs_moments(self) -> bool:
        """Whether it needs what a sweep computes only on request, as it takes a tenth more time."""
        return not {"cubes", "fourths", "downside"}.isdisjoint(self.sums)


SUMS = (
    "equity", "drawdown", "mean", "squares", "cubes", "fourths", "downside", "traded", "held", "fills", "trips",
)  # fmt: skip
"""The sums over the bars of a run that `from_sums` takes, in this order."""


METRICS = (
    Metric("total_return", "share", "max", "E[n-1] - 1", ("equity",)),
    Metric("cagr", "share", "max", "E[n-1] ** (P / n) - 1", ("equity",)),
    Metric("volatility", "share", "min", "s * sqrt(P)", ("squares",)),
    Metric("sharpe", "ratio", "max", "m / s * sqrt(P)", ("mean", "squares")),
    Metric("sortino", "ratio", "max", "m / sqrt(mean(min(r, 0)**2)) * sqrt(P)", ("mean", "downside")),
    Metric(
        "max_drawdown",
        "share",
        "max",
        "min_t E[t] / max(1, E[0..t]) - 1: -0.35 is a fall of 35 % from the peak",
        ("drawdown",),
    ),
    Metric("calmar", "ratio", "max", "cagr / -max_drawdown", ("equity", "drawdown")),
    Metric(
        "turnover",
        "per year",
        "min",
        "sum of the value bought and sold on each bar, as a share of the equity, / n * P: exchanging everything held is 2",
        ("traded",),
    ),
    Metric("exposure", "share", None, "mean gross weight at the close: 1 is always fully invested", ("held",)),
    Metric(
        "n_fills",
        "count",
        None,
        "fills that a change of target requests, at most one a symbol and bar: entering and exiting is 2",
        ("fills",),
    ),
    Metric(
        "n_trades",
        "count",
        None,
        "round trips, counted on the bar that ends them: a position that is open at the end does not count",
        ("trips",),
    ),
    Metric("skew", "number", None, "mean((r-m)**3) / mean((r-m)**2)**1.5", ("mean", "squares", "cubes")),
    Metric(
        "kurtosis",
        "number",
        None,
        "mean((r-m)**4) / mean((r-m)**2)**2, Pearson's: 3 for a normal distribution",
        ("mean", "squares", "fourths"),
    ),
)
METRIC_NAMES = tuple(metric.name for metric in METRICS)

CONSTANT = 1e-12
"""Returns count as constant if their variance is at most this share of their squared mean."""


def from_sums(
    equity: Any,
    drawdown: Any,
    mean: Any,
    squares: Any,
    cubes: Any,
    fourths: Any,
    downside: Any,
    traded: Any,
    held: Any,
    fills: Any,
    trips: Any,
    n_bars: int,
    periods_per_year: float,
    only_if: Callable[[Any, Any], Any],
    moments: bool,
) -> tuple[Any, ...]:
    """Returns the metrics in the order of `METRICS`: numbers, or arrays ``(n_configs,)`` if the sums are arrays.

    Args:
        equity: the last.
        drawdown: the deepest, 0 or negative.
        mean: the mean of the returns.
        squares: sum of the squared deviations from `mean`; likewise `cubes` and `fourths`.
        cubes: see `squares`.
        fourths: see `squares`.
        downside: sum of the squared negative returns.
        traded: sum of the value traded, as shares of the equity.
        held: sum of the gross weights at each close.
        fills: number of fills.
        trips: number of round trips.
        n_bars: number of bars.
        periods_per_year: bars a year.
        only_if: `only_if(condition, value)` is the value where the condition holds, else NaN. Numba and numpy have no
            common function for that.
        moments: whether to compute skew and kurtosis; otherwise they are NaN.
    """
    year = np.sqrt(periods_per_year)
    cagr = equity ** (periods_per_year / n_bars) - 1.0
    variance = squares / (n_bars - 1)
    varies = variance > CONSTANT * mean * mean
    moment = only_if(varies, squares / n_bars) if moments else np.nan  # its powers take long
    return (
        equity - 1.0,
        cagr,
        np.sqrt(variance) * year,
        mean / np.sqrt(only_if(varies, variance)) * year,
        mean / np.sqrt(only_if(downside > 0.0, downside / n_bars)) * year,
        drawdown,
        cagr / only_if(drawdown < 0.0, -drawdown),
        traded / n_bars * periods_per_year,
        held / n_bars,
        fills,
        trips,
        cubes / n_bars / moment**1.5,
        fourths / n_bars / (moment * moment),
    )
