"""Overfitting statistics against published figures and simulation."""

import math

import numpy as np
import pytest

from rbt_ray import analysis
from rbt_ray.errors import InputError


def test_probabilistic_sharpe_ratio_of_the_paper():
    # Bailey and Lopez de Prado (2012): a hedge-fund index over 24 months.
    figures = {"n_obs": 24, "skew": -2.448, "kurtosis": 10.164}
    assert analysis.probabilistic_sharpe_ratio(1.585 / 12**0.5, **figures) == pytest.approx(0.9132343, abs=1e-6)
    normal = analysis.probabilistic_sharpe_ratio(1.585 / 12**0.5, n_obs=24)
    assert normal == pytest.approx(0.9815912, abs=1e-6)


def test_deflated_sharpe_ratio_of_the_paper():
    # Bailey and Lopez de Prado (2014), the numerical example.
    variance = 0.5 / 250
    assert analysis.expected_max_sharpe(100, variance) == pytest.approx(0.113172, abs=1e-6)
    found = analysis.deflated_sharpe_ratio(
        2.5 / 250**0.5, n_obs=1250, skew=-3, kurtosis=10, n_trials=100, variance=variance
    )
    assert found == pytest.approx(0.9003968, abs=1e-6)


@pytest.mark.parametrize(("n", "published"), [(10, 1.574598), (45, 2.235640), (100, 2.530603)])
def test_expected_maximum_of_normals(n, published):
    assert analysis.expected_max_sharpe(n, 1.0) == pytest.approx(published, abs=1e-6)
    draws = np.random.default_rng(0).standard_normal((20_000, n)).max(axis=1)
    assert analysis.expected_max_sharpe(n, 1.0) == pytest.approx(draws.mean(), rel=0.03)  # Gumbel's limit is near by 10


def test_min_backtest_length_of_the_paper():
    # Bailey et al. (2014): with 5 years, after 45 trials an annual Sharpe ratio of 1 is expected from luck.
    assert analysis.min_backtest_length(45, 1.0) == pytest.approx(4.998087, abs=1e-5)


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
        (lambda: analysis.pbo(np.zeros((100, 3)), 3), "`n_blocks` is an even number"),
        (lambda: analysis.pbo(np.zeros((10, 3))), "at least 2 trials and 32 bars"),
    ],
)
def test_errors_are_sentences(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()
