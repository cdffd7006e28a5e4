"""Significance of a Sharpe ratio, given the length of its history and the number of trials.

Sharpe ratios are per bar, not annual, and kurtosis is Pearson's (3 for a normal distribution), as in the papers.
"""

from __future__ import annotations

import math
import sys
from statistics import NormalDist
from typing import Literal, TypeAlias

import numpy as np

from rbt_ray.errors import InputError
from rbt_ray.types import FloatArray, is_real

EULER_GAMMA = 0.5772156649015329
CONSTANT = 1e-12
"""A variance of returns below this share of their mean square is rounding: the returns are constant."""
_NORMAL = NormalDist()

Variant: TypeAlias = Literal["2012", "2026"]
"""The variance of a Sharpe ratio: under the measured ratio (2012), or under the ratio that it is compared with (2026)."""


def probabilistic_sharpe_ratio(
    sharpe: float,
    benchmark: float = 0.0,
    *,
    n_obs: float,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    variant: Variant = "2012",
) -> float:
    """Returns the probability that the true Sharpe ratio is above the benchmark.

    Args:
        sharpe: the measured ratio, per bar.
        benchmark: ratio to compare with, per bar.
        n_obs: number of bars it was measured on.
        skew: of the returns.
        kurtosis: of the returns, Pearson's.
        variant: "2012" uses the variance under the measured ratio, over ``n_obs - 1``; "2026" that under `benchmark`,
            over `n_obs`.

    Returns:
        From 0 to 1.

    Raises:
        InputError: fewer than 2 bars, a value that is not finite, or moments that no returns have.

    Source:
        Bailey and Lopez de Prado (2012), "The Sharpe Ratio Efficient Frontier", Journal of Risk 15(2), 3-44; Lopez de
        Prado, Lipton and Zoonekynd (2026), "How to Use the Sharpe Ratio".
    """
    deviation = _deviation(sharpe, benchmark, n_obs, skew, kurtosis, variant)
    return _NORMAL.cdf((sharpe - benchmark) / deviation)


def min_track_record_length(
    sharpe: float,
    benchmark: float = 0.0,
    *,
    confidence: float = 0.95,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    variant: Variant = "2012",
) -> float:
    """Returns the number of bars from which the probabilistic Sharpe ratio reaches a confidence.

    Args:
        sharpe: the measured ratio, per bar.
        benchmark: ratio to compare with, per bar; below `sharpe`.
        confidence: the probability to reach, above 0.5 and below 1.
        skew: of the returns.
        kurtosis: of the returns, Pearson's.
        variant: see `probabilistic_sharpe_ratio`.

    Raises:
        InputError: as `probabilistic_sharpe_ratio`, or `sharpe` is not above `benchmark`.

    Source:
        See `probabilistic_sharpe_ratio`.
    """
    _require_finite(sharpe=sharpe, benchmark=benchmark, confidence=confidence)
    if not sharpe > benchmark:
        raise InputError(f"`sharpe` must be above `benchmark`; got {sharpe} and {benchmark}: no length is enough.")
    if not 0.5 < confidence < 1:
        raise InputError(f"`confidence` must be above 0.5 and below 1; got {confidence}.")
    deviation = _deviation(sharpe, benchmark, 2.0, skew, kurtosis, variant)
    variance = deviation**2 * (1 if variant == "2012" else 2)
    extra = 1 if variant == "2012" else 0
    return extra + variance * (_NORMAL.inv_cdf(confidence) / (sharpe - benchmark)) ** 2


def expected_max_sharpe(n_trials: float, variance: float) -> float:
    """Returns the expected Sharpe ratio per bar of the best of many trials without skill.

    Args:
        n_trials: number of independent trials, at least 1; a fraction is allowed, as effective numbers are.
        variance: of their Sharpe ratios per bar.

    Raises:
        InputError: no trial, a negative variance, or a value that is not finite.

    Source:
        Bailey and Lopez de Prado (2014), "The Deflated Sharpe Ratio", Journal of Portfolio Management 40(5), 94-107:
        the mean of a Gumbel maximum of normal draws. It is negative for fewer than 1.4 trials, where 0 is returned.
    """
    _require_finite(n_trials=n_trials, variance=variance)
    if n_trials < 1 or variance < 0:
        raise InputError(
            f"`n_trials` is at least 1 and `variance` at least 0; got {n_trials} and {variance}: the variance is that "
            f"of the trials' Sharpe ratios per bar."
        )
    if n_trials == 1:
        return 0.0
    # -inv_cdf(1 / n) instead of inv_cdf(1 - 1 / n): from 1e16 trials on, 1 - 1 / n is 1.
    typical = -_NORMAL.inv_cdf(1 / n_trials)
    extreme = -_NORMAL.inv_cdf(1 / n_trials / math.e)
    return math.sqrt(variance) * max(0.0, (1 - EULER_GAMMA) * typical + EULER_GAMMA * extreme)


def deflated_sharpe_ratio(
    sharpe: float,
    *,
    n_obs: float,
    skew: float,
    kurtosis: float,
    n_trials: float,
    variance: float,
    variant: Variant = "2012",
) -> float:
    """Returns the probability that the best of many trials has skill: that its ratio is above the one expected by luck.

    Args:
        sharpe: the best trial's ratio, per bar.
        n_obs: number of bars it was measured on.
        skew: of its returns.
        kurtosis: of its returns, Pearson's.
        n_trials: number of independent trials, including those at lower fidelities.
        variance: of the trials' Sharpe ratios per bar.
        variant: see `probabilistic_sharpe_ratio`; "2026" also multiplies the variance by that of the highest of
            `n_trials` normal draws.

    Raises:
        InputError: as `probabilistic_sharpe_ratio` and `expected_max_sharpe`.

    Source:
        Bailey and Lopez de Prado (2014), see `expected_max_sharpe`; Lopez de Prado, Lipton and Zoonekynd (2026).
    """
    luck = expected_max_sharpe(n_trials, variance)
    deviation = _deviation(sharpe, luck, n_obs, skew, kurtosis, variant)
    if variant == "2026":
        deviation *= math.sqrt(_variance_of_maximum(n_trials))
    return _NORMAL.cdf((sharpe - luck) / deviation)


def min_backtest_length(n_trials: float, annual_sharpe: float) -> float:
    """Returns the years of history below which the best of many trials without skill is expected to reach that Sharpe ratio.

    Args:
        n_trials: number of independent trials.
        annual_sharpe: the ratio to test; the only annual figure here.

    Raises:
        InputError: a ratio that is not above 0 and finite, or no trial.

    Source:
        Bailey, Borwein, Lopez de Prado and Zhu (2014), "Pseudo-Mathematics and Financial Charlatanism", Notices of the
        AMS 61(5), 458-471.
    """
    _require_finite(annual_sharpe=annual_sharpe)
    if not annual_sharpe > 0:
        raise InputError(f"`annual_sharpe` is above 0; got {annual_sharpe}.")
    return (expected_max_sharpe(n_trials, 1.0) / annual_sharpe) ** 2


def haircut_sharpe_ratio(sharpe: float, *, n_obs: float, n_trials: float) -> float:
    """Returns the Sharpe ratio per bar whose p-value alone is that of `sharpe` after Bonferroni's correction for trials.

    Args:
        sharpe: the best trial's ratio, per bar.
        n_obs: number of bars it was measured on.
        n_trials: number of trials.

    Returns:
        Between 0 and `sharpe`; 0 if the corrected p-value is 1.

    Raises:
        InputError: fewer than 2 bars, no trial, or a value that is not finite.

    Source:
        Harvey and Liu (2015), "Backtesting", Journal of Portfolio Management 42(1), 13-28: two-sided p-values of
        Student's t with ``n_obs - 1`` degrees of freedom.
    """
    from scipy.special import stdtr, stdtrit  # loading scipy takes longer than all else here

    _require_finite(sharpe=sharpe, n_obs=n_obs, n_trials=n_trials)
    _require_bars(n_obs)
    if n_trials < 1:
        raise InputError(f"`n_trials` is at least 1; got {n_trials}.")
    tail = min(0.5, float(stdtr(n_obs - 1, -abs(sharpe) * math.sqrt(n_obs))) * n_trials)
    haircut = -float(stdtrit(n_obs - 1, tail)) / math.sqrt(n_obs) if tail > 0 else abs(sharpe)
    return math.copysign(min(haircut, abs(sharpe)), sharpe)


def sharpe_of_sums(totals: FloatArray, squares: FloatArray, n_bars: FloatArray | float) -> FloatArray:
    """Returns Sharpe ratios per bar, from sums of returns and of their squares over `n_bars`; NaN for constant returns."""
    mean = totals / n_bars
    deviations = squares - n_bars * mean**2
    varies = deviations > CONSTANT * squares
    spread = np.sqrt(np.where(varies, deviations, 1.0) / np.maximum(n_bars - 1, 1))
    return np.where(varies, mean / spread, np.nan)


def _deviation(sharpe: float, benchmark: float, n_obs: float, skew: float, kurtosis: float, variant: Variant) -> float:
    """Returns the standard deviation of a Sharpe ratio."""
    _require_finite(sharpe=sharpe, benchmark=benchmark, n_obs=n_obs, skew=skew, kurtosis=kurtosis)
    _require_bars(n_obs)
    if variant not in ("2012", "2026"):
        raise InputError(f'`variant` is "2012" or "2026"; got {variant!r}.')
    if kurtosis < 1 + skew**2:
        raise InputError(
            f"no returns have `skew` {skew} and `kurtosis` {kurtosis}: Pearson's kurtosis (3 for a normal distribution) "
            f"is at least 1 + skew**2 = {1 + skew**2}."
        )
    at = sharpe if variant == "2012" else benchmark
    variance = 1 - skew * at + (kurtosis - 1) / 4 * at**2
    if not variance > 0:
        raise InputError(
            f"no returns have `skew` {skew} and `kurtosis` {kurtosis} at a Sharpe ratio of {at} a bar: its variance "
            f"would be {variance}."
        )
    return math.sqrt(variance / (n_obs - 1 if variant == "2012" else n_obs))


def _variance_of_maximum(n_trials: float) -> float:
    """Returns the variance of the highest of `n_trials` normal draws, by integration of its density."""
    if n_trials == 1:
        return 1.0
    x = np.linspace(-40.0, 40.0, 8001)
    log_below = np.array(
        [math.log(0.5 * math.erfc(-value / math.sqrt(2))) if value > -38 else -math.inf for value in x]
    )
    density = np.exp(-(x**2) / 2 + (n_trials - 1) * log_below)
    density /= density.sum()
    mean = float(density @ x)
    return float(density @ (x - mean) ** 2)


def _require_bars(n_obs: float) -> None:
    if n_obs < 2:
        raise InputError(f"`n_obs` is a number of bars, at least 2; got {n_obs}.")


def _require_finite(**values: float) -> None:
    for name, value in values.items():
        if not is_real(value) or not abs(value) <= sys.float_info.max:  # an int may be too large for a float
            raise InputError(f"`{name}` must be a finite number; got {value!r}.")
