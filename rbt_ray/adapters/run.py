"""Run: what another backtester's run comes to, in our figures and in its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rbt_ray.errors import ObjectiveResultError
from rbt_ray.simulate.metrics import METRICS
from rbt_ray.types import FloatArray, Metrics

_OF_TRADES = frozenset(metric.name for metric in METRICS if metric.needs_trades)


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A strategy's run by another backtester.

    Args:
        returns: ``(n_bars,)`` simple returns per bar after costs; 0.01 is one percent.
        periods_per_year: bars a year, by which `metrics` annualises.
        figures: the backtester's own, by plain names.
    """

    returns: FloatArray
    periods_per_year: float
    figures: Metrics

    @classmethod
    def from_value(cls, value: FloatArray, start: float, periods_per_year: float, figures: Metrics) -> Run:
        """The run of an account worth ``value (n_bars,)`` at each bar's close and `start` before the first.

        An account that falls to nothing returns -1 on that bar and 0 after it.
        """
        before = np.concatenate([[start], value[:-1]])
        ruined = np.minimum.accumulate(before) <= 0
        with np.errstate(divide="ignore", invalid="ignore"):
            returns: FloatArray = np.where(ruined, 0.0, np.maximum(value, 0.0) / before - 1.0)
        return cls(returns, periods_per_year, figures)

    @property
    def equity(self) -> FloatArray:
        """``(n_bars,)`` what 1 at the start has become."""
        equity: FloatArray = np.cumprod(1.0 + self.returns, dtype=np.float64)
        return equity

    def metrics(self) -> Metrics:
        """Our metrics of the returns (module `simulate.metrics`), and the backtester's own figures.

        Ours leave out turnover, exposure, fills and round trips, which returns do not tell.

        Raises:
            ObjectiveResultError: a return is not finite.
        """
        from rbt_ray.simulate.metric_kernel import metrics_of  # here, as it brings Numba

        missing = np.flatnonzero(~np.isfinite(self.returns))
        if len(missing):
            raise ObjectiveResultError(
                f"the backtest's value is not a number on {len(missing)} of {len(self.returns)} bars, first on bar "
                f"{missing[0]}. A symbol that is listed late has no prices there: leave it out until it has."
            )
        none, zero = np.zeros(len(self.returns)), np.zeros(len(self.returns), np.int64)
        returns = np.ascontiguousarray(self.returns, np.float64)
        ours = metrics_of(returns, none, none, zero, zero, self.periods_per_year)
        return {name: value for name, value in ours.items() if name not in _OF_TRADES} | self.figures
