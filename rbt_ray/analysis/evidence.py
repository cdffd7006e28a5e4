"""Statistics of the best trial that a verdict shows beside its checks, and that do not vote."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from rbt_ray.analysis.sharpe import (
    deflated_sharpe_ratio,
    haircut_sharpe_ratio,
    min_backtest_length,
    probabilistic_sharpe_ratio,
    sharpe_of_sums,
)
from rbt_ray.block_sums import Benchmark, BlockSums
from rbt_ray.errors import InputError
from rbt_ray.types import FloatArray


@dataclass(frozen=True, slots=True)
class Moments:
    """The moments of a trial's returns per bar.

    Args:
        n_obs: number of bars.
        sharpe: mean over sample deviation, per bar.
        skew: third standardised moment.
        kurtosis: fourth, Pearson's: 3 for a normal distribution.
    """

    n_obs: int
    sharpe: float
    skew: float = 0.0
    kurtosis: float = 3.0


def sharpe_ratios(sums: BlockSums | Benchmark, n_bars: float) -> FloatArray:
    """Returns Sharpe ratios per bar over all blocks, NaN for constant returns."""
    return sharpe_of_sums(sums.sums.sum(axis=-1), sums.squares.sum(axis=-1), n_bars)


def evidence_of(moments: Moments, n_trials: int, variance: float, periods_per_year: float) -> dict[str, float | None]:
    """Returns statistics by name, None for one that does not exist.

    Args:
        moments: of the best trial.
        n_trials: all evaluations of the search.
        variance: of the trials' Sharpe ratios per bar.
        periods_per_year: bars per year.
    """
    annual = math.sqrt(periods_per_year)
    sharpe, n_obs, skew, kurtosis = moments.sharpe, moments.n_obs, moments.skew, moments.kurtosis

    def deflated() -> float:
        return deflated_sharpe_ratio(
            sharpe, n_obs=n_obs, skew=skew, kurtosis=kurtosis, n_trials=n_trials, variance=variance
        )

    return {
        "sharpe": sharpe * annual,
        "years": n_obs / periods_per_year,
        "deflated_sharpe": _or_none(deflated),
        "probabilistic_sharpe": _or_none(
            lambda: probabilistic_sharpe_ratio(sharpe, n_obs=n_obs, skew=skew, kurtosis=kurtosis)
        ),
        "min_backtest_years": _or_none(lambda: min_backtest_length(n_trials, sharpe * annual)),
        "haircut_sharpe": _or_none(lambda: haircut_sharpe_ratio(sharpe, n_obs=n_obs, n_trials=n_trials) * annual),
    }


def _or_none(statistic: Callable[[], float]) -> float | None:
    """Returns the statistic, or None if these returns have none, such as a minimum length for a ratio below 0."""
    try:
        return statistic()
    except InputError:
        return None
