"""Significance of a Sharpe ratio, given the length of its history and the number of trials.

Sharpe ratios are per bar, not annual, and kurtosis is Pearson's (3 for a normal distribution), as in the papers.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from rbt_ray.errors import InputError

EULER_GAMMA = 0.5772156649015329
_NORMAL = NormalDist()


def probabilistic_sharpe_ratio(
    sharpe: float, benchmark: float = 0.0, *, n_obs: int, skew: float = 0.0, kurtosis: float = 3.0
) -> float:
    """Returns the probability that the true Sharpe ratio is above the benchmark.

    Uses the variance under the estimated ratio, as the paper of 2012 does.

    Args:
        sharpe: the measured ratio, per bar.
        benchmark: ratio to compare with, per bar.
        n_obs: number of bars it was measured on.
        skew: the skew of the returns.
        kurtosis: the kurtosis of the returns, Pearson's.

    Returns:
        From 0 to 1.

    Raises:
        InputError: fewer than 2 bars, or impossible moments.

    Source:
        Bailey and Lopez de Prado (2012), "The Sharpe Ratio Efficient Frontier", Journal of Risk 15(2), 3-44.
    """
    if n_obs < 2:
        raise InputError(f"`n_obs` is a number of bars, at least 2; got {n_obs}.")
    variance = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    if not variance > 0:
        raise InputError(
            f"no returns have `skew` {skew} and `kurtosis` {kurtosis} (Pearson's: a normal distribution has 3) at a "
            f"Sharpe ratio of {sharpe} a bar: its variance would be {variance}."
        )
    return _NORMAL.cdf((sharpe - benchmark) * math.sqrt((n_obs - 1) / variance))


def expected_max_sharpe(n_trials: int, variance: float) -> float:
    """Returns the expected Sharpe ratio per bar of the best of many trials without skill.

    Args:
        n_trials: number of independent trials.
        variance: of their Sharpe ratios per bar.

    Raises:
        InputError: no trial, or a negative variance.

    Source:
        Bailey and Lopez de Prado (2014), "The Deflated Sharpe Ratio", Journal of Portfolio Management 40(5), 94-107:
        the mean of a Gumbel maximum of normal draws.
    """
    if n_trials < 1 or not variance >= 0:
        raise InputError(
            f"`n_trials` is at least 1 and `variance` at least 0; got {n_trials} and {variance}: the variance is that "
            f"of the trials' Sharpe ratios per bar."
        )
    if n_trials == 1:
        return 0.0
    typical = _NORMAL.inv_cdf(1 - 1 / n_trials)
    extreme = _NORMAL.inv_cdf(1 - 1 / (n_trials * math.e))
    return math.sqrt(variance) * ((1 - EULER_GAMMA) * typical + EULER_GAMMA * extreme)


def deflated_sharpe_ratio(
    sharpe: float, *, n_obs: int, skew: float, kurtosis: float, n_trials: int, variance: float
) -> float:
    """Returns the probability that the best of many trials has skill: that its ratio is above the one expected by luck.

    Args:
        sharpe: the best trial's ratio, per bar.
        n_obs: number of bars it was measured on.
        skew: of its returns.
        kurtosis: of its returns, Pearson's.
        n_trials: number of independent trials, including those at lower fidelities.
        variance: the variance of the trials' Sharpe ratios per bar.

    Raises:
        InputError: as `probabilistic_sharpe_ratio` and `expected_max_sharpe`.

    Source:
        Bailey and Lopez de Prado (2014), see `expected_max_sharpe`.
    """
    luck = expected_max_sharpe(n_trials, variance)
    return probabilistic_sharpe_ratio(sharpe, luck, n_obs=n_obs, skew=skew, kurtosis=kurtosis)


def min_backtest_length(n_trials: int, annual_sharpe: float) -> float:
    """Returns the years of history below which the best of many trials without skill is expected to reach that Sharpe ratio.

    Args:
        n_trials: number of independent trials.
        annual_sharpe: the ratio to test; the only annual figure here.

    Raises:
        InputError: a ratio that is not above 0, or no trial.

    Source:
        Bailey, Borwein, Lopez de Prado and Zhu (2014), "Pseudo-Mathematics and Financial Charlatanism", Notices of the
        AMS 61(5), 458-471.
    """
    if not annual_sharpe > 0:
        raise InputError(f"`annual_sharpe` is above 0; got {annual_sharpe}.")
    return (expected_max_sharpe(n_trials, 1.0) / annual_sharpe) ** 2
