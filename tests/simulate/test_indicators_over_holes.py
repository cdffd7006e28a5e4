"""Every indicator, and every function of TA-Lib, over random holes: that of the symbol's own bars, kept over the others."""

from __future__ import annotations

import inspect
import math
from itertools import pairwise

import numpy as np
import pytest
import talib
import talib.abstract
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.simulate import indicators

NAN = math.nan


def mean(own, n):
    return sum(own[-n:]) / n if len(own) >= n else NAN


def deviation(own, n):
    return math.sqrt(sum((x - mean(own, n)) ** 2 for x in own[-n:]) / (n - 1)) if len(own) >= n else NAN


def score(own, n):
    spread = deviation(own, n)
    return (own[-1] - mean(own, n)) / spread if spread > 0 else NAN


def exponential(own, n):
    average = own[0]
    for x in own[1:]:
        average += (x - average) * 2 / (n + 1)
    return average if len(own) >= n else NAN


def strength(own, n):
    changes = [b - a for a, b in pairwise(own)]
    if len(changes) < n:
        return NAN
    gain, loss = (sum(max(sign * x, 0) for x in changes[:n]) / n for sign in (1, -1))
    for x in changes[n:]:
        gain, loss = gain + (max(x, 0) - gain) / n, loss + (max(-x, 0) - loss) / n
    return 100 * gain / (gain + loss) if gain + loss else 50.0


LOOPS = {
    "sma": mean,
    "rolling_mean": mean,
    "rolling_std": deviation,
    "zscore": score,
    "ema": exponential,
    "rolling_max": lambda own, n: max(own[-n:]) if len(own) >= n else NAN,
    "rolling_min": lambda own, n: min(own[-n:]) if len(own) >= n else NAN,
    "momentum": lambda own, n: own[-1] / own[-1 - n] - 1 if len(own) > n else NAN,
    "rsi": strength,
}
"""Of the values that a symbol has had so far, the last of them on this bar."""


def holed_prices(seed, n_bars, n_symbols=4):
    """Random walks; one symbol without a hole, one with as many holes as prices, one with few prices, one with none."""
    rng = np.random.default_rng(seed)
    values = np.round(50 * np.exp(np.cumsum(rng.normal(0, 0.03, (n_bars, n_symbols)), axis=0)), 2)
    values[rng.random(values.shape) < [0.0, 0.5, 0.9, 1.0][:n_symbols]] = NAN
    return values


def test_every_indicator_has_a_loop():
    functions = inspect.getmembers(indicators, inspect.isfunction)
    public = {name for name, made in functions if made.__module__ == indicators.__name__ and name[0] != "_"}
    assert public == set(LOOPS)


@pytest.mark.parametrize("name", sorted(LOOPS))
@given(seed=st.integers(0, 10**6), window=st.integers(2, 12), n_bars=st.integers(1, 50))
@settings(max_examples=25, deadline=None)
def test_equals_the_loop_over_own_bars(name, seed, window, n_bars):
    values = holed_prices(seed, n_bars)
    result = getattr(indicators, name)(values, window)
    for symbol in range(values.shape[1]):
        own, expected = [], NAN
        for t in range(n_bars):
            if not math.isnan(values[t, symbol]):
                own.append(float(values[t, symbol]))
                expected = LOOPS[name](own, window)
            assert result[t, symbol] == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True), (t, symbol)


def test_every_function_of_talib_over_holes():
    rng = np.random.default_rng(11)
    close = holed_prices(11, 400, 3)
    close[rng.integers(0, 400, 150), 2] = 47.0
    fields = {"close": close, "open": close * 1.01, "high": close * 1.03, "low": close * 0.98}
    fields["volume"] = np.where(np.isnan(close), NAN, rng.uniform(1e3, 1e4, close.shape))
    index = np.datetime64("2020-01-01", "ns") + np.arange(400) * np.timedelta64(1, "D")
    data = rbt.Bundle.from_arrays(fields, index, ["A", "B", "C"]).view()
    tried = 0
    for name in talib.get_functions():
        function = talib.abstract.Function(name)
        inputs = [x for value in function.input_names.values() for x in ([value] if isinstance(value, str) else value)]
        if "periods" in inputs:
            continue  # MAVP takes a column of periods, which is no field
        with np.errstate(all="ignore"):
            found = data.ta(name)
        outputs = found if isinstance(found, dict) or hasattr(found, "keys") else {"real": found}
        for symbol in range(3):
            own = ~np.isnan(close[:, symbol])
            alone = getattr(talib, name)(*(data[field][own, symbol] for field in inputs))
            for output, values in zip(
                outputs.values(), alone if isinstance(alone, (tuple, list)) else [alone], strict=True
            ):
                at, expected = -1, np.full(400, NAN)
                for t in range(400):
                    at += own[t]
                    expected[t] = values[at] if at >= 0 else NAN
                np.testing.assert_array_equal(output[:, symbol], expected, err_msg=name)
        tried += 1
    assert tried > 100
