"""`check_lookahead` finds planted look-aheads and lets clean strategies pass."""

from __future__ import annotations

import re

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.errors import LookaheadError, ObjectiveError, SettingError


def held(data, signal):
    return rbt.backtest(data, np.where(np.isnan(data.close), 0.0, signal) / data.n_symbols)


def crossing(params, data):
    return held(data, data.sma("close", params["fast"]) > data.sma("close", params["slow"]))


def ranked(params, data):
    """Clean: the symbol with the strongest momentum, weighted by the deviation so far."""
    past = np.full(data.close.shape, np.nan)
    past[20:] = data.close[20:] / data.close[:-20] - 1
    return held(data, past >= np.nanmax(np.where(np.isnan(past), -9.0, past), axis=1, keepdims=True))


def seeded(params, data):
    return held(data, data.rng.random(data.close.shape) < 0.5)


def tomorrow(params, data):
    signal = np.zeros(data.close.shape)
    signal[:-1] = data.close[1:] > data.close[:-1]
    return held(data, signal)


def centred(params, data):
    """Two bars of the average's five lie ahead."""
    average = np.roll(data.sma("close", 5), -2, axis=0)
    return held(data, data.close > average)


def against_whole_mean(params, data):
    known = ~np.isnan(data.close)
    mean = np.where(known, data.close, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return held(data, data.close < mean)


def scaled_by_whole_volume(params, data):
    return held(data, data.volume / np.nan_to_num(data.volume).max(axis=0, initial=1.0))


def costs_from_the_future(params, data):
    costs = rbt.Costs(turnover_bps=float(np.nanmax(data.close)) % 100)
    return rbt.backtest(data, np.where(np.isnan(data.close), 0.0, 0.1), costs=costs)


PARAMS = {"fast": 10, "slow": 50}


@pytest.fixture(scope="module")
def sample():
    return rbt.load_bundle("sample")


@pytest.mark.parametrize("objective", [crossing, ranked, seeded])
def test_clean_strategies_pass(sample, objective):
    report = rbt.check_lookahead(objective, sample, PARAMS, n_cuts=3)
    assert len(report.cuts) == 3
    assert report.n_runs == 2 + 3 * 3
    assert "No look-ahead found" in str(report)


@pytest.mark.parametrize("objective", [tomorrow, centred, against_whole_mean, scaled_by_whole_volume])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_look_aheads_are_caught(sample, objective, seed):
    with pytest.raises(
        LookaheadError, match=r"the weight of '(AAPL|FB|GOOG|IBM|MSFT)' on bar \d+ \(20\d\d-\d\d-\d\d\)"
    ):
        rbt.check_lookahead(objective, sample, PARAMS, seed=seed)


def test_the_bar_named_is_the_one_that_looks_ahead(sample):
    with pytest.raises(LookaheadError) as caught:
        rbt.check_lookahead(tomorrow, sample, {}, n_cuts=1)
    named = re.findall(r"bar (\d+) ", str(caught.value))
    assert named[0] == named[1], "only the last known bar's weight hangs on the next close"


def test_a_look_ahead_in_returns_alone_is_caught(sample):
    with pytest.raises(LookaheadError, match=r"the return of bar 1 \(2000-03-02\) is .* with the same weights"):
        rbt.check_lookahead(costs_from_the_future, sample, {})


def test_one_symbol_and_closes_only():
    closes = np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.01, (80, 1)), axis=0))
    index = np.datetime64("2020-01-01", "ns") + np.arange(80) * np.timedelta64(1, "D")
    bundle = rbt.Bundle.from_arrays({"close": closes}, index, ["X"])
    assert rbt.check_lookahead(crossing, bundle, {"fast": 2, "slow": 5}, n_cuts=8).n_runs == 26
    with pytest.raises(LookaheadError):
        rbt.check_lookahead(tomorrow, bundle, {})


def test_a_registered_name_an_example_and_batched_objectives():
    class Crossing:
        example = PARAMS

        def __call__(self, params, data):
            return crossing(params, data)

    assert rbt.check_lookahead(Crossing(), "sample", n_cuts=1).n_runs == 5
    batched = rbt.batched(lambda many, data: [tomorrow(params, data) for params in many])
    with pytest.raises(LookaheadError):
        rbt.check_lookahead(batched, "sample", {}, n_cuts=1)


@pytest.mark.parametrize(
    ("objective", "arguments", "error", "sentence"),
    [
        (crossing, {}, ObjectiveError, r"`params` is needed to run crossing, which has no `example` of its own"),
        (
            lambda params, data: 1.5,
            {"params": {}},
            ObjectiveError,
            r"must return a Backtest .*; got 1\.5 of type float",
        ),
        (crossing, {"params": PARAMS, "n_cuts": 0}, SettingError, r"`n_cuts` is from 1 to half .* \(1635\); got 0"),
        (crossing, {"params": PARAMS, "n_cuts": 2.5}, SettingError, r"`n_cuts` is .*; got 2\.5"),
    ],
)
def test_refused(sample, objective, arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        rbt.check_lookahead(objective, sample, **arguments)


def test_an_objective_that_is_not_repeatable_is_an_error(sample):
    rng = np.random.default_rng(0)
    with pytest.raises(ObjectiveError, match=r"different results on the same prices.*data\.rng"):
        rbt.check_lookahead(lambda params, data: held(data, rng.random(data.close.shape)), sample, {})
