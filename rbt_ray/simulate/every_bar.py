"""Target weights to returns in closed form: the portfolio is brought back to its targets on every bar.

With `F` the fill prices (opens for ``"next_open"``, else closes), `C` the closes, and `p[t]` the weights held from
the fill on bar `t` on (`p[t] = w[t]` for ``"close"``, `p[t] = w[t-1]` for ``"next_open"`` and ``"next_close"``, zero
before the first):

    r[t] =   sum_i p[t-1,i] * (F[t,i] / C[t-1,i] - 1)      old weights, from the last close to the fill
           + sum_i p[t,i]   * (C[t,i] / F[t,i] - 1)        new weights, from the fill to the close (0 where F is C)
           - sum_i c_i * |p[t,i] - p[t-1,i]|               turnover and slippage, on the change of target weights
           - borrow * sum_i max(0, -p[t-1,i])              a bar's share of the yearly rates, on what was held
           - margin * max(0, sum_i |p[t-1,i]| - 1)         over from the last bar

    equity[t] = equity[t-1] * (1 + r[t]),  equity[-1] = 1

The two legs of a ``"next_open"`` bar are added, not compounded: the return stays linear in the weights.

A bar has a price for a symbol where `C` and `F` are both there. `p[t,i]` is 0 where bar `t`, or the bar of the
decision, has none: an order that cannot be filled is dropped, and a weight held into such a bar earns 0 on it and is
closed at the last close, its cost charged on that bar. If `1 + r[t] <= 0` the run ends: `r[t] = -1`, then zeros.
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
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, IntArray, int, int]:
    """The run of the module's formulas; one pass over the bars.

    Args:
        weights: ``(n_bars, n_symbols)`` targets decided on each bar's close, as shares of equity.
        fill: ``(n_bars, n_symbols)`` prices at which targets are reached; NaN where there is none.
        close: ``(n_bars, n_symbols)``.
        lag: bars from decision to fill: 0 or 1.
        strict: whether a weight on a bar without a price stops the run; else it counts as 0.
        rates: ``(n_symbols,)`` cost of a unit of turnover, a fraction.
        borrow: cost of a unit of short weight held over one bar.
        margin: cost of a unit of gross weight above 1 held over one bar.

    Returns:
        returns, equity, traded (`sum_i |p[t] - p[t-1]|`), exposure (`sum_i |p[t]|`), orders (how many `p` changed),
        each ``(n_bars,)``; the bar of bankruptcy, and the bar at which a weight cannot be used; -1 for none.
    """
    n_bars, n_symbols = weights.shape
    returns = np.zeros(n_bars)
    equity = np.zeros(n_bars)
    traded = np.zeros(n_bars)
    exposure = np.zeros(n_bars)
    orders = np.zeros(n_bars, np.int64)
    # Rows of scratch: the weights decided on the last bar and those held since its fill, then this bar's terms.
    decided = np.zeros(n_symbols)
    held = np.zeros(n_symbols)
    earned = np.empty(n_symbols)
    moved = np.empty(n_symbols)
    flawed = np.empty(n_symbols)
    value, gross, short = 1.0, 0.0, 0.0

    for t in range(n_bars):
        bar_weights, bar_fill, bar_close, last_close = weights[t], fill[t], close[t], close[max(t - 1, 0)]
        # Sums are left to the next loop, as they would keep this one from being vectorised.
        for i in range(n_symbols):
            weight = bar_weights[i]
            both = bar_fill[i] + bar_close[i]
            priced = both == both  # neither is NaN
            usable = weight if priced else 0.0
            old = held[i]
            new = (decided[i] if priced else 0.0) if lag == 1 else usable
            decided[i] = usable
            held[i] = new
            before_fill = old * (bar_fill[i] / last_close[i] - 1.0)
            after_fill = new * (bar_close[i] / bar_fill[i] - 1.0)
            earned[i] = (before_fill if priced and old != 0.0 else 0.0) + (after_fill if priced else 0.0)
            moved[i] = abs(new - old)
            flawed[i] = 0.0 if (abs(weight) < np.inf and (priced or not strict or weight == 0.0)) else 1.0

        financing = borrow * short + margin * max(0.0, gross - 1.0)
        gain, cost, turnover, gross, n_orders, n_flawed = 0.0, 0.0, 0.0, 0.0, 0, 0.0
        for i in range(n_symbols):
            gain += earned[i]
            cost += rates[i] * moved[i]
            turnover += moved[i]
            gross += abs(held[i])
            n_orders += moved[i] > 0.0
            n_flawed += flawed[i]
        if n_flawed > 0.0:
            return returns, equity, traded, exposure, orders, -1, t
        if borrow > 0.0:
            short = 0.0
            for i in range(n_symbols):
                short += max(0.0, -held[i])

        traded[t] = turnover
        orders[t] = n_orders
        returns[t] = gain - cost - financing
        if returns[t] <= -1.0:
            returns[t] = -1.0
            return returns, equity, traded, exposure, orders, t, -1
        value *= 1.0 + returns[t]
        equity[t] = value
        exposure[t] = gross
    return returns, equity, traded, exposure, orders, -1, -1
