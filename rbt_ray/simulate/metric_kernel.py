"""The metrics of one run: a kernel adds up its bars, and `rbt_ray.simulate.metrics` has the formulas."""

from __future__ import annotations

import numba
import numpy as np

from rbt_ray.simulate.compiled import COUNTS, NUMBER, VECTOR, compiled
from rbt_ray.simulate.metrics import METRIC_NAMES, METRICS, from_sums
from rbt_ray.types import FloatArray, IntArray, Metrics

_COUNTS = tuple(metric.name for metric in METRICS if metric.unit == "count")


def metrics_of(
    returns: FloatArray,
    traded: FloatArray,
    exposure: FloatArray,
    fills: IntArray,
    round_trips: IntArray,
    periods_per_year: float,
) -> Metrics:
    """Returns the metrics of one run by name, as plain floats; counts are ints.

    Args:
        returns: ``(n_bars,)`` simple returns per bar after costs; 0.01 is one percent.
        traded: ``(n_bars,)`` value traded on each bar, as a share of the equity.
        exposure: ``(n_bars,)`` gross weight at each close.
        fills: ``(n_bars,)`` executions on each bar.
        round_trips: ``(n_bars,)`` round trips ended on each bar.
        periods_per_year: bars a year.
    """
    values = dict(
        zip(METRIC_NAMES, _metrics(returns, traded, exposure, fills, round_trips, periods_per_year), strict=True)
    )
    return values | {name: int(values[name]) for name in _COUNTS}


@numba.njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _only_if(condition: bool, value: float) -> float:
    return value if condition else np.nan


_from_sums = numba.njit(error_model="numpy")(from_sums)


@compiled(VECTOR, VECTOR, VECTOR, COUNTS, COUNTS, NUMBER)
def _metrics(
    returns: FloatArray,
    traded: FloatArray,
    exposure: FloatArray,
    fills: IntArray,
    round_trips: IntArray,
    periods_per_year: float,
) -> tuple[float, ...]:
    n_bars = len(returns)
    total, equity, peak, max_drawdown = 0.0, 1.0, 1.0, 0.0
    total_traded, total_exposure, n_fills, n_trades = 0.0, 0.0, 0, 0
    for t in range(n_bars):
        total += returns[t]
        equity *= 1.0 + returns[t]
        peak = max(peak, equity)
        max_drawdown = min(max_drawdown, equity / peak - 1.0)
        total_traded += traded[t]
        total_exposure += exposure[t]
        n_fills += fills[t]
        n_trades += round_trips[t]
    mean = total / n_bars

    squares, cubes, fourths, downside = 0.0, 0.0, 0.0, 0.0
    for t in range(n_bars):
        deviation = returns[t] - mean
        square = deviation * deviation
        squares += square
        cubes += square * deviation
        fourths += square * square
        loss = min(returns[t], 0.0)
        downside += loss * loss

    figures: tuple[float, ...] = _from_sums(
        equity, max_drawdown, mean, squares, cubes, fourths, downside, total_traded, total_exposure, float(n_fills),
        float(n_trades), n_bars, periods_per_year, _only_if, True,
    )  # fmt: skip
    return figures
