"""Both accountings in plain Python, on prices filled forward that may not trade on bars without a price."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd


def by_hand(bundle, weights, execution, turnover_bps, slippage_bps=0.0, borrow_bps=0.0, margin_bps=0.0):
    """Returns and turnover by the formulas, on prices filled forward that may not trade on bars without a price.

    Args:
        turnover_bps: one a symbol.
    """
    closes = pd.DataFrame(bundle.close)
    at_open = execution == "next_open"
    priced = (closes.notna() & pd.DataFrame(bundle.open).notna()) if at_open else closes.notna()
    filled_forward = closes.ffill()
    fill = (pd.DataFrame(bundle.open).where(priced, filled_forward) if at_open else filled_forward).to_numpy()
    close = filled_forward.to_numpy()
    targets = pd.DataFrame(np.array(weights, float)).where(priced).ffill().fillna(0.0)
    if execution != "close":
        targets = targets.shift(fill_value=0.0)
    targets, priced = targets.to_numpy(), priced.to_numpy()
    n_bars, n_symbols = close.shape
    year = bundle.periods_per_year

    returns, traded, held = np.zeros(n_bars), np.zeros(n_bars), [0.0] * n_symbols
    for t in range(n_bars):
        growth = [fill[t, i] / fill[t - 1, i] if held[i] else 1.0 for i in range(n_symbols)]
        equity = 1 + sum(held[i] * (growth[i] - 1) for i in range(n_symbols))
        drifted = [held[i] * growth[i] / equity for i in range(n_symbols)]
        new = [targets[t, i] if priced[t, i] else drifted[i] for i in range(n_symbols)]
        r = 0.0
        for i in range(n_symbols):
            if held[i]:
                r += held[i] * (fill[t, i] / close[t - 1, i] - 1)
                r -= borrow_bps / 1e4 / year * max(0.0, -held[i])
            if new[i]:
                r += new[i] * (close[t, i] / fill[t, i] - 1)
            r -= (turnover_bps[i] + slippage_bps) / 1e4 * abs(new[i] - drifted[i])
        r -= margin_bps / 1e4 / year * max(0.0, sum(map(abs, held)) - 1)
        if r <= -1 or equity <= 0:
            returns[t] = -1.0
            break
        returns[t], held = r, new
        traded[t] = sum(abs(a - b) for a, b in zip(new, drifted, strict=True))
    return returns, traded


def broker(bundle, weights, execution, fee, slip, borrow, margin, whole_units, money):
    """Equity at each close, kept in a dict of holdings; rates are fractions, borrow and margin a bar.

    Prices are filled forward, and nothing may trade on a bar that has none of its own.
    """
    closes = pd.DataFrame(bundle.close)
    close = closes.ffill().to_numpy()
    opens = pd.DataFrame(bundle.open) if execution == "next_open" else closes
    live = (closes.notna() & opens.notna()).to_numpy()
    fill = np.where(live, opens, close)
    targets = pd.DataFrame(np.array(weights, float)).where(live).ffill().fillna(0.0)
    targets = (targets if execution == "close" else targets.shift(fill_value=0.0)).to_numpy()
    symbols = range(bundle.n_symbols)
    cash, holding, target, equity = money, dict.fromkeys(symbols, 0.0), dict.fromkeys(symbols, 0.0), []

    def trade(i, units, price):
        nonlocal cash
        paid = price * (1 + slip if units > 0 else 1 - slip)
        cash -= units * paid + abs(units) * paid * fee
        holding[i] += units

    for t in range(bundle.n_bars):
        if t:
            values = [holding[i] * close[t - 1][i] for i in symbols if holding[i]]
            cash -= borrow * sum(-v for v in values if v < 0)
            cash -= margin * max(0.0, sum(map(abs, values)) - equity[-1])
        new_target = {i: targets[t][i] if live[t][i] else target[i] for i in symbols}
        worth = cash + sum(holding[i] * fill[t][i] for i in symbols if holding[i])
        if worth <= 0:
            return equity + [0.0] * (bundle.n_bars - t)
        changed = [i for i in symbols if new_target[i] != target[i]]
        for i in sorted(changed, key=lambda i: new_target[i] * worth - holding[i] * fill[t][i]):
            units = new_target[i] * worth / fill[t][i] - holding[i]
            if whole_units:
                units = float(math.trunc(units))
            if units > 0:
                most = max(0.0, cash / (fill[t][i] * (1 + slip) * (1 + fee)))
                units = min(units, math.floor(most) if whole_units else most)
            if units:
                trade(i, units, fill[t][i])
        target = new_target
        equity.append(cash + sum(holding[i] * close[t][i] for i in symbols if holding[i]))
        if equity[-1] <= 0:
            return equity[:-1] + [0.0] * (bundle.n_bars - t)
    return equity
