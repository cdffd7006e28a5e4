"""Overfitting statistics against published figures and simulation."""

import functools
import itertools
import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from rbt_ray import analysis
from rbt_ray.analysis import sharpe
from rbt_ray.errors import InputError


def test_probabilistic_sharpe_ratio_of_the_paper():
    # Bailey and Lopez de Prado (2012): a hedge-fund index over 24 months.
    figures = {"n_obs": 24, "skew": -2.448, "kurtosis": 10.164}
    assert analysis.probabilistic_sharpe_ratio(1.585 / 12**0.5, **figures) == pytest.approx(0.9132343, abs=1e-6)
    normal = analysis.probabilistic_sharpe_ratio(1.585 / 12**0.5, n_obs=24)
    assert normal == pytest.approx(0.9815912, abs=1e-6)


PAPER = {"skew": -2.448, "kurtosis": 10.164}
MONTHLY = 0.036 / 0.079


def test_figures_of_the_paper_of_2026():
    # Lopez de Prado, Lipton and Zoonekynd (2026): the same 24 months, with the variance under the null.
    psr = functools.partial(analysis.probabilistic_sharpe_ratio, n_obs=24, variant="2026", **PAPER)
    assert psr(MONTHLY) == pytest.approx(0.987207, abs=1e-6)
    assert psr(MONTHLY, 0.1) == pytest.approx(0.939148, abs=1e-6)
    assert analysis.min_track_record_length(MONTHLY, variant="2026", **PAPER) == pytest.approx(13.028778, abs=1e-6)
    luck = analysis.expected_max_sharpe(10, 0.1)
    assert psr(MONTHLY, luck) == pytest.approx(0.450681, abs=1e-6)  # without the variance of the maximum
    deflated = analysis.deflated_sharpe_ratio(MONTHLY, n_obs=24, n_trials=10, variance=0.1, variant="2026", **PAPER)
    assert deflated == pytest.approx(0.416360, abs=1e-6)


@pytest.mark.parametrize("n", [2, 10, 1_000, 10**6])
def test_the_variance_of_the_maximum_is_that_of_draws(n):
    # Blom's approximation does not have it; the inverse of the distribution function gives draws of the maximum.
    uniform = (np.arange(200_000) + 0.5) / 200_000
    draws = special.ndtri_exp(np.log(uniform) / n)
    assert sharpe._variance_of_maximum(n) == pytest.approx(draws.var(), rel=1e-3)


@pytest.mark.parametrize("variant", ["2012", "2026"])
@pytest.mark.parametrize("benchmark", [0.0, 0.1])
def test_after_the_shortest_track_record_the_probability_is_the_confidence(variant, benchmark):
    shape = {"variant": variant, **PAPER}
    n_obs = analysis.min_track_record_length(MONTHLY, benchmark, confidence=0.95, **shape)
    found = analysis.probabilistic_sharpe_ratio(MONTHLY, benchmark, n_obs=n_obs, **shape)
    assert found == pytest.approx(0.95, abs=1e-9)


def test_haircut_of_the_paper():
    # Harvey and Liu (2015): 120 months at an annual ratio of 1, 10 trials, Bonferroni.
    found = analysis.haircut_sharpe_ratio(1 / 12**0.5, n_obs=120, n_trials=10) * 12**0.5
    assert found == pytest.approx(0.746529, abs=1e-6)
    assert analysis.haircut_sharpe_ratio(0.2, n_obs=120, n_trials=1) == pytest.approx(0.2)
    assert analysis.haircut_sharpe_ratio(0.2, n_obs=120, n_trials=10**6) == 0
    assert 0 < analysis.haircut_sharpe_ratio(5.0, n_obs=2520, n_trials=10**6) <= 5.0  # the p-value is 0 in floats
    assert analysis.haircut_sharpe_ratio(-0.3, n_obs=120, n_trials=10) < 0


@pytest.mark.parametrize(
    ("moments", "n", "published"),
    [((-3, 10), 100, 0.900397), ((-3, 10), 46, 0.950502), ((0, 3), 88, 0.950491)],
)
def test_deflated_sharpe_ratios_of_the_paper(moments, n, published):
    skew, kurtosis = moments
    found = analysis.deflated_sharpe_ratio(
        2.5 / 250**0.5, n_obs=1250, skew=skew, kurtosis=kurtosis, n_trials=n, variance=0.5 / 250
    )
    assert found == pytest.approx(published, abs=1e-6)


def test_deflated_sharpe_ratio_of_the_paper():
    # Bailey and Lopez de Prado (2014), the numerical example.
    variance = 0.5 / 250
    assert analysis.expected_max_sharpe(100, variance) == pytest.approx(0.113172, abs=1e-6)
    found = analysis.deflated_sharpe_ratio(
        2.5 / 250**0.5, n_obs=1250, skew=-3, kurtosis=10, n_trials=100, variance=variance
    )
    assert found == pytest.approx(0.9003968, abs=1e-6)


@pytest.mark.parametrize(("n", "expected"), [(10**9, 6.090388996), (10**16, 8.290805935), (1.1, 0.0), (1, 0.0)])
def test_expected_maximum_of_very_many_and_very_few(n, expected):
    assert analysis.expected_max_sharpe(n, 1.0) == pytest.approx(expected, abs=1e-9)


@given(st.lists(st.floats(1, sys.float_info.max), min_size=2, max_size=6))
def test_the_expected_maximum_grows_with_the_trials(numbers):
    found = [analysis.expected_max_sharpe(n, 1.0) for n in sorted(numbers)]
    assert found[0] >= 0
    assert all(one <= other + 1e-12 for one, other in itertools.pairwise(found))


CALLS = {
    analysis.probabilistic_sharpe_ratio: {"sharpe": 0.1, "benchmark": 0.0, "n_obs": 50, "skew": 0.2, "kurtosis": 4.0},
    analysis.min_track_record_length: {
        "sharpe": 0.1, "benchmark": 0.0, "confidence": 0.9, "skew": 0.2, "kurtosis": 4.0,
    },
    analysis.expected_max_sharpe: {"n_trials": 9, "variance": 0.2},
    analysis.deflated_sharpe_ratio: {
        "sharpe": 0.1, "n_obs": 50, "skew": 0.2, "kurtosis": 4.0, "n_trials": 9, "variance": 0.2,
    },
    analysis.min_backtest_length: {"n_trials": 9, "annual_sharpe": 1.0},
    analysis.haircut_sharpe_ratio: {"sharpe": 0.1, "n_obs": 50, "n_trials": 9},
}  # fmt: skip


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 10**400, "1", None, True])
@pytest.mark.parametrize(
    ("function", "name"), [(function, name) for function, values in CALLS.items() for name in values]
)
def test_no_argument_may_be_anything_but_a_finite_number(function, name, bad):
    with pytest.raises(InputError, match=f"`{name}` must be a finite number"):
        function(**CALLS[function] | {name: bad})


@given(
    sharpe=st.floats(-3, 3), benchmark=st.floats(-1, 1), skew=st.floats(-5, 5), excess=st.floats(-5, 20),
    variant=st.sampled_from(["2012", "2026"]),
)  # fmt: skip
def test_a_probability_or_a_refusal_of_impossible_moments(sharpe, benchmark, skew, excess, variant):
    kurtosis = 1 + skew**2 + excess
    arguments = {"n_obs": 100, "skew": skew, "kurtosis": kurtosis, "variant": variant}
    if kurtosis < 1 + skew**2:
        with pytest.raises(InputError, match="no returns have `skew`"):
            analysis.probabilistic_sharpe_ratio(sharpe, benchmark, **arguments)
    elif excess > 1e-6:
        assert 0 <= analysis.probabilistic_sharpe_ratio(sharpe, benchmark, **arguments) <= 1


@pytest.mark.parametrize(("n", "published"), [(10, 1.574598), (45, 2.235640), (100, 2.530603)])
def test_expected_maximum_of_normals(n, published):
    assert analysis.expected_max_sharpe(n, 1.0) == pytest.approx(published, abs=1e-6)
    draws = np.random.default_rng(0).standard_normal((20_000, n)).max(axis=1)
    assert analysis.expected_max_sharpe(n, 1.0) == pytest.approx(draws.mean(), rel=0.03)  # Gumbel's limit is near by 10


def test_min_backtest_length_of_the_paper():
    # Bailey et al. (2014): with 5 years, after 45 trials an annual Sharpe ratio of 1 is expected from luck.
    assert analysis.min_backtest_length(45, 1.0) == pytest.approx(4.998087, abs=1e-6)
    assert analysis.min_backtest_length(7, 1.0) == pytest.approx(1.923143, abs=1e-6)


def test_one_trial_needs_no_deflation():
    assert analysis.expected_max_sharpe(1, 1.0) == 0
    assert math.isclose(
        analysis.deflated_sharpe_ratio(0.1, n_obs=500, skew=0, kurtosis=3, n_trials=1, variance=0.1),
        analysis.probabilistic_sharpe_ratio(0.1, n_obs=500),
    )


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: analysis.probabilistic_sharpe_ratio(0.1, n_obs=1), "`n_obs` is a number of bars, at least 2; got 1"),
        (lambda: analysis.probabilistic_sharpe_ratio(1.0, n_obs=9, skew=3, kurtosis=1), "no returns have `skew` 3"),
        (lambda: analysis.expected_max_sharpe(0, 1), "`n_trials` is at least 1"),
        (lambda: analysis.expected_max_sharpe(5, -1), "`variance` at least 0"),
        (lambda: analysis.min_backtest_length(5, 0), "`annual_sharpe` is above 0; got 0"),
        (lambda: analysis.probabilistic_sharpe_ratio(0.1, n_obs=9, variant="2014"), '`variant` is "2012" or "2026"'),
        (lambda: analysis.min_track_record_length(0.1, 0.1), "`sharpe` must be above `benchmark`"),
        (lambda: analysis.min_track_record_length(0.1, confidence=1), "`confidence` must be above 0.5 and below 1"),
        (lambda: analysis.haircut_sharpe_ratio(0.1, n_obs=1, n_trials=3), "`n_obs` is a number of bars"),
        (lambda: analysis.haircut_sharpe_ratio(0.1, n_obs=9, n_trials=0), "`n_trials` is at least 1"),
        (lambda: analysis.pbo(np.zeros((100, 3)), 3), "`n_blocks` is an even number"),
        (lambda: analysis.pbo(np.zeros((100, 3)), 8.0), "`n_blocks` is an even number from 2 to 24; got 8.0"),
        (lambda: analysis.pbo(np.zeros((100, 3)), 26), "`n_blocks` is an even number from 2 to 24; got 26"),
        (lambda: analysis.pbo(np.zeros((10, 3))), "at least 2 trials and 32 bars"),
    ],
)
def test_errors_are_sentences(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()
