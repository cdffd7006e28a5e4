"""How sure a difference is: intervals, p values, an effect size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rbt_ray.types import FloatArray

_DRAWS = 10_000
_ENDS = (2.5, 97.5)

Values = Sequence[float] | FloatArray


def median_with_interval(values: Values) -> tuple[float, float, float]:
    """Median of ``(n,)`` values, and the ends of its 95 % bootstrap interval (percentiles); values may be inf.

    Source:
        Efron and Tibshirani (1993), "An Introduction to the Bootstrap", chapter 13.
    """
    array = np.asarray(values, dtype=float)
    draws = np.median(np.random.default_rng(0).choice(array, (_DRAWS, len(array))), axis=1)
    low, high = np.percentile(draws, _ENDS, method="nearest")
    return float(np.median(array)), float(low), float(high)


def ratio_with_interval(baseline: Values, candidate: Values) -> tuple[float, float, float]:
    """Geometric mean of the ratios candidate / baseline of ``(n,)`` pairs, and its 95 % bootstrap interval.

    Pairs are drawn as pairs, so that a drift which both members met does not widen it.

    Source:
        Efron and Tibshirani (1993), chapter 13; the geometric mean, for which a ratio and its inverse say the same:
        Fleming and Wallace (1986), "How not to lie with statistics", Communications of the ACM 29(3).
    """
    logs = np.log(np.asarray(candidate, dtype=float) / np.asarray(baseline, dtype=float))
    draws = np.random.default_rng(0).choice(logs, (_DRAWS, len(logs))).mean(axis=1)
    low, high = np.percentile(draws, _ENDS)
    return float(np.exp(logs.mean())), float(np.exp(low)), float(np.exp(high))


def welch_p(baseline: Values, candidate: Values) -> float:
    """Two-sided p of Welch's t test of ``(n,)`` and ``(m,)`` values: equal means, whatever the variances."""
    from scipy.stats import ttest_ind

    return _one_unless_told(float(ttest_ind(baseline, candidate, equal_var=False).pvalue))


def wilcoxon_p(baseline: Values, candidate: Values) -> float:
    """Two-sided p of Wilcoxon's signed-rank test of ``(n,)`` pairs; 1 where all pairs are equal."""
    from scipy.stats import wilcoxon

    if np.array_equal(baseline, candidate):
        return 1.0
    return _one_unless_told(float(wilcoxon(baseline, candidate).pvalue))


def cliffs_delta(baseline: Values, candidate: Values) -> float:
    """How often a candidate is below a baseline, less how often above: 1 where every one is, 0 where neither leads.

    It needs no shape of the distribution, and times have none that one could name.

    Source:
        Cliff (1993), "Dominance statistics: ordinal analyses to answer ordinal questions", Psychological Bulletin 114(3).
    """
    difference = np.asarray(baseline, dtype=float)[:, None] - np.asarray(candidate, dtype=float)[None, :]
    return float(np.sign(difference).mean())


def _one_unless_told(p: float) -> float:
    """NaN, which constant values give, is no evidence."""
    return 1.0 if np.isnan(p) else p
