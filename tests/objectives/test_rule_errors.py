"""A rule that cannot be used ends in a sentence, before the study starts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.errors import InputError, ObjectiveError, ObjectiveResultError, RbtError, RuleError, SettingError
from rbt_ray.objectives import rule
from rbt_ray.objectives.address import address_of, differences
from rbt_ray.objectives.rule.rule import Rule


def twice(value):
    return 2 * value


def misspelt(bar, params):
    shown = bar.close
    return bar.fats > shown


def unknown_parameter(bar, params):
    return params.lo


def helper(bar, params):
    return twice(bar.close)


def no_result(bar, params):  # noqa: RET503
    if bar.close > 3:
        return 1.0


def imports(bar, params):
    import pandas as pd

    return pd.Series([bar.close]).mean()


def opens_a_file(bar, params):
    with open("prices") as file:  # noqa: PTH123
        return float(file.read())


def text(bar, params):
    return "long"


def mixed(bar, params):
    weight = 1.0 if bar.close > 3 else "x"
    return weight  # noqa: RET504


def assigns(bar, params):
    bar.close = 3.0
    return 1.0


def calls_it_wrongly(bar, params):
    return math.sqrt(bar.close, 2)


@pytest.mark.parametrize(
    ("step", "shown"),
    [
        (misspelt, "return bar.fats > shown`: `bar` has no `fats`"),
        (unknown_parameter, "return params.lo`: `params` has no `lo`. Did you mean 'low'?"),
        (helper, "return twice(bar.close)`: `twice` is nothing that compiled code can use"),
        (no_result, "returns nothing on some path"),
        (imports, "`import pandas as pd`"),
        (opens_a_file, "Numba cannot compile `opens_a_file`"),
        (text, "returns 'long'"),
        (mixed, "weight"),
        (assigns, "`bar.close` is assigned to"),
        (calls_it_wrongly, "return math.sqrt(bar.close, 2)`"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_numba_cannot_compile_ends_in_a_sentence_with_the_line(step, shown, sample_view):
    with pytest.raises(RuleError) as refused:
        rule(step, {"low": 1.0}).check(sample_view)
    message = str(refused.value)
    assert shown in message
    assert "test_rule_errors.py" in message
    assert "\n" not in message
    assert len(message) < 500
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def fine(bar, params):
    return params.low


@pytest.mark.parametrize(
    ("arguments", "error", "shown"),
    [
        ({"params": {}}, InputError, "at least one parameter"),
        ({"params": {"low": "x"}}, InputError, "got 'x' for 'low'"),
        ({"params": {"low-est": 1.0}}, InputError, "'low-est'"),
        ({"step": 3}, ObjectiveError, "got 3"),
        ({"step": lambda bar: 1.0}, ObjectiveError, "function of (bar, params)"),
        ({"state": 2}, ObjectiveError, "function of (bar, params, state)"),
        ({"state": -1}, SettingError, "`state`"),
        ({"costs": 5}, SettingError, "`costs`"),
        ({"metrics": ("sharp",)}, SettingError, "did you mean 'sharpe'?"),
        ({"indicators": {"mean": 3}}, InputError, "'mean'"),
    ],
)
def test_settings_are_checked(arguments, error, shown):
    with pytest.raises(error, match=r".") as refused:
        rule(**{"step": fine, "params": {"low": 1.0}, **arguments})
    assert shown in str(refused.value)


@pytest.mark.parametrize(
    ("change", "error", "shown"),
    [
        ({"indicators": {"close": lambda data, p: data.close}}, InputError, "'close', which a bar has already"),
        ({"indicators": {"target": lambda data, p: data.close}}, InputError, "'target', which a bar has already"),
        ({"costs": rbt.Costs(turnover_bps=[5.0])}, RbtError, "5 symbols"),
    ],
)
def test_settings_that_do_not_fit_the_data_are_refused(change, error, shown, sample_view):
    with pytest.raises(error) as refused:
        replace(rule(fine, {"low": 1.0}), **change).check(sample_view)
    assert shown in str(refused.value)


@pytest.fixture(scope="module")
def weights():
    """A rule that returns its indicator."""

    def weight(bar, params):
        return bar.wanted * params.low

    return rule(weight, {"low": 1.0}, {"wanted": lambda data, p: np.zeros(data.close.shape)})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("indicator", "shown"),
    [
        (lambda data, p: data.close[:-1], "shape (3269, 5)"),
        (lambda data, p: "none", "shape (n_bars, n_symbols)"),
        (lambda data, p: np.full(data.close.shape, p["low"] * np.nan), "NaN or infinity on"),
    ],
)
def test_what_an_indicator_returns_is_checked(weights, indicator, shown, sample_view):
    with pytest.raises(ObjectiveResultError) as refused:
        replace(weights, indicators={"wanted": indicator}).evaluate(sample_view, {"low": np.ones(3)})
    assert shown in str(refused.value)


def low_step(bar, params):
    return params.low if bar.mean > 1.0 else 0.0


def low_step_2(bar, params):
    return params.low if bar.mean > 2.0 else 0.0


def mean_of(window):
    return lambda data, p: data.sma("close", window) * p["low"]


@pytest.mark.parametrize(
    "change",
    [
        {"step": low_step_2},
        {"indicators": {"mean": mean_of(6)}},
        {"example": {"low": 1}},
        {"costs": rbt.Costs(turnover_bps=6)},
        {"rebalance": "every_bar"},
        {"state": 1, "step": lambda bar, params, state: params.low * bar.mean * state[0]},
    ],
    ids=["step", "indicator", "params", "costs", "rebalance", "state"],
)
def test_a_changed_rule_is_another_objective(change):
    def made(**settings):
        return Rule(**{"step": low_step, "example": {"low": 1.0}, "indicators": {"mean": mean_of(5)}, **settings})

    assert not differences(address_of(made()), address_of(made()))
    assert differences(address_of(made()), address_of(made(**change)))
