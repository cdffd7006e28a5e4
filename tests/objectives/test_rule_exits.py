"""Stops, profits and time limits of a rule: each price that fills is that of a plain loop, and of cases worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.errors import SettingError
from rbt_ray.objectives import rule
from rbt_ray.simulate.metrics import METRIC_NAMES
from tests.objectives.rule_loop import fills_of_equal_run

EXECUTIONS = ("next_open", "next_close", "close")
SETTINGS = (
    {"stop_loss": "stop"},
    {"take_profit": "profit"},
    {"trailing_stop": "stop"},
    {"time_stop": "days"},
    {"stop_loss": "stop", "take_profit": "profit", "trailing_stop": 0.04, "time_stop": 6},
)


def swinging(bar, params):
    """Changes sides, sometimes to a larger position on the same one, and keeps a target for many bars."""
    phase = (bar.number + 3 * bar.symbol) % 17
    if phase < 7:
        return params.size if phase != 4 else 1.4 * params.size
    return 0.0 if phase < 9 else -params.size


@pytest.fixture(scope="module")
def objective():
    return rule(
        swinging,
        params={"size": 0.3, "stop": 0.03, "profit": 0.03, "days": 4},
        costs=rbt.Costs(turnover_bps=5, slippage_bps=3, borrow_bps=300),
    )


@pytest.fixture(scope="module")
def bars():
    """Random bars with gaps between closes and opens, missing bars and late listings."""

    def build(n_bars, n_symbols, seed, holes):
        rng = np.random.default_rng(seed)
        close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, (n_bars + 1, n_symbols)), axis=0))
        open_ = np.vstack([close[:1], close[:-1]]) * np.exp(rng.normal(0, 0.012, close.shape))
        high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, 0.012, close.shape)))
        low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0, 0.012, close.shape)))
        fields = {"open": open_, "high": high, "low": low, "close": close}
        missing = rng.random((n_bars, n_symbols)) < holes / 3
        missing |= np.arange(n_bars)[:, None] < rng.integers(0, 1 + int(holes * n_bars), n_symbols)
        for values in fields.values():
            values[:-1][missing] = np.nan
        index = np.datetime64("2001-01-01", "ns") + np.arange(n_bars + 1) * np.timedelta64(1, "D")
        symbols = [f"S{i}" for i in range(n_symbols)]
        return rbt.Bundle.from_arrays(fields, index, symbols, periods_per_year=252).view(n_bars)

    return build


@pytest.mark.slow
def test_exits_equal_a_plain_loop_on_random_bars(objective, bars):
    rng, fills = np.random.default_rng(5), 0
    columns = {
        "size": rng.uniform(-0.5, 0.5, 11),
        "stop": rng.uniform(0.005, 0.08, 11),
        "profit": rng.uniform(0.005, 0.08, 11),
        "days": rng.integers(1, 9, 11).astype(float),
    }
    for number in range(30):
        view = bars(50 + number, 1 + number % 4, number, (0.0, 0.3)[number % 2])
        exiting = replace(objective, exits=SETTINGS[number % 5], execution=EXECUTIONS[number // 5 % 3])
        swept = exiting.evaluate(view, columns, METRIC_NAMES)
        for row in (number % 11, (number + 5) % 11):
            config = {name: float(values[row]) for name, values in columns.items()}
            fills += fills_of_equal_run(
                exiting, config, view, {name: values[row] for name, values in swept.items()}, 1e-9
            )
    assert fills > 500


def one_symbol(*rows):
    """Bars of open, high, low, close."""
    table = np.array(rows, float)
    fields = {name: table[:, [k]] for k, name in enumerate(("open", "high", "low", "close"))}
    index = np.datetime64("2001-01-01", "ns") + np.arange(len(rows)) * np.timedelta64(1, "D")
    return rbt.Bundle.from_arrays(fields, index, ["A"], periods_per_year=252).view()


def long_or_short(bar, params):
    return params.side


@pytest.mark.parametrize(
    ("settings", "bar", "price"),
    [
        ({"stop_loss": 0.1}, (100, 101, 85, 95), 90.0),  # within the bar: at the stop
        ({"stop_loss": 0.1}, (80, 101, 79, 95), 80.0),  # behind a gap: at the open
        ({"take_profit": 0.1}, (100, 120, 99, 95), 110.0),
        ({"take_profit": 0.1}, (115, 120, 99, 95), 115.0),
        ({"stop_loss": 0.1, "take_profit": 0.1}, (100, 120, 80, 100), 90.0),  # both: the stop
        ({"stop_loss": 0.1, "take_profit": 0.1}, (112, 120, 80, 100), 112.0),  # but the open comes first
        ({"trailing_stop": 0.1}, (100, 140, 95, 100), 95.4),  # of 106, the high of the bar before, not of 140
    ],
)
def test_the_price_that_fills(settings, bar, price):
    """Bought at the open of 100; the bar after it has a high of 106; then comes `bar`, and the position stays closed."""
    view = one_symbol((100, 100, 100, 100), (100, 106, 99, 105), bar, (100, 300, 1, 200))
    holding = rule(long_or_short, {"side": 1.0}, costs=rbt.Costs(), **settings)
    run = holding({"side": 1.0}, view)
    assert run.equity[-1] == pytest.approx(price / 100, abs=1e-12)
    assert run.equity[1] == pytest.approx(1.05)
    assert run.orders.tolist() == [0, 1, 1, 0]
    assert run.metrics()["n_trades"] == 1


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"stop_loss": "stp"}, "names a parameter of the rule; got 'stp'"),
        ({"stop_loss": -0.1}, "`stop_loss` is a number from 1e-06 to 1"),
        ({"time_stop": 0}, "`time_stop`"),
        ({"take_profit": 0.1, "rebalance": "every_bar"}, "needs rebalance='on_change'"),
    ],
)
def test_settings_of_exits_are_checked(settings, shown):
    with pytest.raises(SettingError) as refused:
        rule(long_or_short, {"side": 1.0}, **settings)
    assert shown in str(refused.value)


def test_exits_need_highs_and_lows(holed):
    with pytest.raises(SettingError, match="open, high and low"):
        rule(long_or_short, {"side": 1.0}, stop_loss=0.1).check(holed(30, 1, 0, 0.0, True))
