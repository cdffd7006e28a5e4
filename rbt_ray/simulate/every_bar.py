"""Computes returns from target weights in closed form: the portfolio is reset to its targets on every bar.

With `F` the fill prices (opens for ``"next_open"``, else closes), `C` the closes, `w'` the current targets, and
`p[t]` the weights after the fill on bar `t`, zero before the first (package `rbt_ray.simulate` defines prices, current
targets, and `F` and `C` on a bar without a price):

    G[t,i] = F[t,i] / F[t-1,i]
    d[t,i] = p[t-1,i] * G[t,i] / D[t],   D[t] = 1 + sum_j p[t-1,j] * (G[t,j] - 1)     drifted weights
    p[t,i] = w'[t,i] for ``"close"``, w'[t-1,i] for ``"next_open"`` and ``"next_close"``;  d[t,i] without a price

    r[t] =   sum_i p[t-1,i] * (F[t,i] / C[t-1,i] - 1)      old weights, from the last close to the fill
           + sum_i p[t,i]   * (C[t,i] / F[t,i] - 1)        new weights, from the fill to the close (0 where F is C)
           - sum_i c_i * |p[t,i] - d[t,i]|                 turnover and slippage, on the traded weight
           - borrow * sum_i max(0, -p[t-1,i])              a bar's share of the yearly rates, on the
           - margin * max(0, sum_i |p[t-1,i]| - 1)         weights held from the bar before

    equity[t] = equity[t-1] * (1 + r[t]),  equity[-1] = 1

Drift is computed before costs. The two returns of a ``"next_open"`` bar are added, not compounded, so that the return is
linear in the weights. If `D[t] <= 0` or `1 + r[t] <= 0` the run ends: `r[t] = -1`, then zeros.

`n_fills` counts the fills that a change of target requests. Trades that only undo drift cost and count as turnover, but
not as fills.
"""

from __future__ import annotations

import numpy as np

from rbt_ray.simulate.compiled import FLAG, INTEGER, NUMBER, TABLE, VECTOR, compiled
from rbt_ray.types import FloatArray, IntArray


@compiled(TABLE, TABLE, TABLE, INTEGER, FLAG, VECTOR, NUMBER, NUMBER)
def run_every_bar(
    weights: FloatArray,
    fill: FloatArray,
    close: FloatArray,
    lag: int,
    strict: bool,
    rates: FloatArray,
    borrow: float,
    margin: float,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, IntArray, IntArray, int, int]:
    """Runs the formulas of this module in one pass over the bars.

    Args:
        weights: ``(n_bars, n_symbols)`` targets decided on each bar's close, as shares of equity.
        fill: ``(n_bars, n_symbols)`` fill prices; NaN if there is none.
        close: ``(n_bars, n_symbols)``.
        lag: bars from decision to fill: 0 or 1.
        strict: whether a weight other than 0 on a bar without a price stops the run.
        rates: ``(n_symbols,)`` cost per unit of turnover, as a fraction.
        borrow: cost of a unit of short weight held over one bar.
        margin: cost of a unit of gross weight above 1 held over one bar.

    Returns:
        returns, equity, traded (`sum_i |p[t] - d[t]|`), exposure (`sum_i |p[t]|`), fills (of a changed target), round
        trips ended, each ``(n_bars,)``; the bar of bankruptcy, and the bar at which a weight cannot be used; -1 for
        none.
    """
    n_bars, n_symbols = weights.shape
    returns = np.zeros(n_bars)
    equity = np.zeros(n_bars)
    traded = np.zeros(n_bars)
    exposure = np.zeros(n_bars)
    fills = np.zeros(n_bars, np.int64)
    round_trips = np.zeros(n_bars, np.int64)
    # For each symbol: the current target, the target filled last, the weight since then, the last close, and the ratio of
    # a close to the fill price of its bar; then the weight of this bar at the fill, grown and drifted.
    standing = np.zeros(n_symbols)
    filled = np.zeros(n_symbols)
    held = np.zeros(n_symbols)
    last_close = np.full(n_symbols, np.nan)
    to_close = np.ones(n_symbols)
    grown = np.zeros(n_symbols)
    value, gross, short = 1.0, 0.0, 0.0

    for t in range(n_bars):
        financing = borrow * short + margin * max(0.0, gross - 1.0)
        gain, drifted = 0.0, 1.0
        for i in range(n_symbols):
            both = fill[t, i] + close[t, i]
            # Neither is NaN; else the fill price counts as the close, which is the last one where there is none.
            at_fill = fill[t, i] if both == both else (close[t, i] if close[t, i] == close[t, i] else last_close[i])
            old = held[i]
            to_fill = at_fill / last_close[i] if old != 0.0 else 1.0
            grown[i] = old * (to_fill * to_close[i])
            gain += old * (to_fill - 1.0)
            drifted += grown[i] - old
        shrink = 1.0 / drifted
        cost, turnover, gross, short, n_fills, n_ended, usable = 0.0, 0.0, 0.0, 0.0, 0, 0, True
        for i in range(n_symbols):
            weight = weights[t, i]
            both = fill[t, i] + close[t, i]
            if both == both:
                target = standing[i] if lag == 1 else weight
                standing[i] = weight
                usable &= abs(weight) < np.inf
                last_close[i] = close[t, i]
                before = filled[i]
                if target != before:
                    filled[i] = target
                    n_fills += 1
                    n_ended += before * target < 0.0 or target == 0.0
                moved = abs(target - grown[i] * shrink)
                cost += rates[i] * moved
                turnover += moved
                gross += abs(target)
                short += max(0.0, -target)
                to_close[i] = close[t, i] / fill[t, i]
                gain += target * (to_close[i] - 1.0)
                held[i] = target
            else:
                usable &= weight == 0.0 or (abs(weight) < np.inf and not strict)
                held[i] = grown[i] * shrink
                gross += abs(held[i])
                short += max(0.0, -held[i])
                to_close[i] = 1.0
                if close[t, i] == close[t, i]:
                    last_close[i] = close[t, i]
        if not usable:
            return returns, equity, traded, exposure, fills, round_trips, -1, t

        traded[t] = turnover
        fills[t] = n_fills
        round_trips[t] = n_ended
        returns[t] = gain - cost - financing
        if drifted <= 0.0 or returns[t] <= -1.0:
            traded[t] = 0.0 if drifted <= 0.0 else turnover
            returns[t] = -1.0
            return returns, equity, traded, exposure, fills, round_trips, t, -1
        value *= 1.0 + returns[t]
        equity[t] = value
        exposure[t] = gross
    return returns, equity, traded, exposure, fills, round_trips, -1, -1
