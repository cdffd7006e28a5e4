"""What a run comes to: thirteen numbers from the returns of its bars and what was traded on them.

Every bar counts, the first and those before any trade included. With `r` the ``n`` returns, `m` their mean, `s` their
sample deviation (``ddof=1``), `E` the running product of `1 + r`, `P` periods per year:

    total_return   E[n-1] - 1                                volatility    s * sqrt(P)
    cagr           E[n-1] ** (P / n) - 1                     sharpe        m / s * sqrt(P)
    max_drawdown   min_t E[t] / max(1, E[0..t]) - 1          sortino       m / sqrt(mean(min(r, 0)**2)) * sqrt(P)
    calmar         cagr / -max_drawdown                      skew          mean((r-m)**3) / mean((r-m)**2)**1.5
    turnover       sum of `traded` / n * P                   kurtosis      mean((r-m)**4) / mean((r-m)**2)**2
    exposure       sum of `exposure` / n                     n_fills       sum of `fills`
    n_trades       sum of `round_trips`

`max_drawdown` is zero or negative: -0.35 is a fall of 35 % from the highest equity so far, the start included.
`turnover` is the value bought plus the value sold in a year, in units of the equity: changing everything held for
something else is 2. `exposure` is the mean gross weight at the close: 1 is always fully invested. `n_fills` counts
fills that a change of target asks for, one a symbol and bar: getting in and out again is 2. `n_trades` counts round
trips, on the bar that ends them: getting in and out again is 1, and a position that is open at the end is none.
`kurtosis` is Pearson's, 3 for a normal.

A ratio without a denominator is NaN. Returns count as constant, with NaN for `sharpe`, `skew` and `kurtosis`, where
`s**2 <= 1e-12 * m**2`: what is left of `s` by then is rounding. The test holds for sums taken in one pass as well.

Source:
    Sharpe (1994), "The Sharpe Ratio", Journal of Portfolio Management 21(1), 49-58. Sortino and van der Meer (1991),
    "Downside Risk", Journal of Portfolio Management 17(4), 27-31, with a target of 0.
"""

from __future__ import annotations

import numpy as np

from rbt_ray.simulate.compiled import COUNTS, NUMBER, VECTOR, compiled
from rbt_ray.types import FloatArray, IntArray, Metrics

METRIC_NAMES = (
    "total_return",
    "cagr",
    "volatility",
    "sharpe",
    "sortino",
    "max_drawdown",
    "calmar",
    "turnover",
    "exposure",
    "n_fills",
    "n_trades",
    "skew",
    "kurtosis",
)

CONSTANT = 1e-12
"""Returns count as constant where their variance is at most this share of their squared mean."""


def metrics_of(
    returns: FloatArray,
    traded: FloatArray,
    exposure: FloatArray,
    fills: IntArray,
    round_trips: IntArray,
    periods_per_year: float,
) -> Metrics:
    """The thirteen metrics by name, as plain floats (`n_fills` and `n_trades`: ints).

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
    return values | {name: int(values[name]) for name in ("n_fills", "n_trades")}


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

    year = np.sqrt(periods_per_year)
    cagr = equity ** (periods_per_year / n_bars) - 1.0
    volatility, sharpe, skew, kurtosis = np.nan, np.nan, np.nan, np.nan
    if n_bars > 1:
        variance = squares / (n_bars - 1)
        volatility = np.sqrt(variance) * year
        if variance > CONSTANT * mean * mean:
            sharpe = mean / np.sqrt(variance) * year
            moment = squares / n_bars
            skew = cubes / n_bars / moment**1.5
            kurtosis = fourths / n_bars / moment**2
    sortino = mean / np.sqrt(downside / n_bars) * year if downside > 0.0 else np.nan
    calmar = cagr / -max_drawdown if max_drawdown < 0.0 else np.nan
    turnover = total_traded / n_bars * periods_per_year
    return (
        equity - 1.0,
        cagr,
        volatility,
        sharpe,
        sortino,
        max_drawdown,
        calmar,
        turnover,
        total_exposure / n_bars,
        float(n_fills),
        float(n_trades),
        skew,
        kurtosis,
    )
