"""Rules for tests: the built-in objectives as a user would write them, and one that uses all that a bar has."""

from __future__ import annotations

import math

import numpy as np

from rbt_ray.simulate import indicators

MARGIN = 1e-9


def sma_cross(bar, params):
    return 1.0 / bar.n_symbols if bar.fast > bar.slow * (1.0 + 1e-9) else 0.0


def rsi(bar, params):
    if bar.strength > params.high + MARGIN * max(1.0, abs(params.high)):
        return 0.0
    if -bar.strength > -params.low + MARGIN * max(1.0, abs(params.low)):
        return 1.0 / bar.n_symbols
    return bar.target


def mean_reversion(bar, params):
    if bar.score > -params.exit + MARGIN * max(1.0, abs(params.exit)):
        return 0.0
    if -bar.score > params.entry + MARGIN * max(1.0, abs(params.entry)):
        return 1.0 / bar.n_symbols
    return bar.target


def momentum(bar, params):
    return (bar.risen > params.threshold + MARGIN * max(1.0, abs(params.threshold))) / bar.n_symbols


def breakout(bar, params):
    if bar.lowest / bar.close - 1.0 > MARGIN:
        return 0.0
    if bar.close / bar.highest - 1.0 > MARGIN:
        return 1.0 / bar.n_symbols
    return bar.target


BUILTIN = {
    "sma_cross": sma_cross,
    "rsi": rsi,
    "mean_reversion": mean_reversion,
    "momentum": momentum,
    "breakout": breakout,
}


def _bar_before(values):
    return np.vstack([np.full((1, values.shape[1]), np.nan), values[:-1]])


def _highest(data, p):
    window = min(p["entry"], data.n_bars + 1)
    return _bar_before(data.rolling_max("high" if "high" in data.fields else "close", window))


def _lowest(data, p):
    window = min(p["exit"], data.n_bars + 1)
    return _bar_before(data.rolling_min("low" if "low" in data.fields else "close", window))


INDICATORS = {
    "sma_cross": {
        "fast": lambda data, p: data.sma("close", p["fast"]),
        "slow": lambda data, p: data.sma("close", p["slow"]),
    },
    "rsi": {"strength": lambda data, p: indicators.rsi(data.close, p["window"])},
    "mean_reversion": {"score": lambda data, p: indicators.zscore(data.close, p["window"])},
    "momentum": {"risen": lambda data, p: indicators.momentum(data.close, p["lookback"])},
    "breakout": {"highest": _highest, "lowest": _lowest},
}


def contrarian(bar, params, state):
    """Short above the mean, long below; leaves by time, by loss and by equity, and counts in its state."""
    state[0] += 1.0
    state[1] = max(state[1], bar.equity)
    if bar.bars_held >= params.days or bar.equity < 0.8 * state[1]:
        return 0.0
    if not math.isnan(bar.entry_price) and abs(bar.close / bar.entry_price - 1.0) > 0.03:
        return 0.5 * bar.target
    if bar.number % 3 == bar.symbol % 3:
        side = 1.0 if bar.close < bar.mean else -1.0
        return side * params.size * (1.0 + 0.1 * (state[0] % 4.0)) - 0.05 * bar.position
    return bar.target
