"""Statistics of a difference: intervals, p values and an effect size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rbt_ray.types import BoolArray, FloatArray, IntArray

_DRAWS = 10_000
_ENDS = (2.5, 97.5)

Values = Sequence[float] | FloatArray


def median_with_interval(values: Values) -> tuple[float, float, float]:
    """Returns the median of ``(n,)`` values and the ends of its 95 % bootstrap interval (percentiles); values may be inf.

    Source:
        Efron and Tibshirani (1993), "An Introduction to the Bootstrap", chapter 13.
    """
    array = np.asarray(values, dtype=float)
    draws = np.median(np.random.default_rng(0).choice(array, (_DRAWS, len(array))), axis=1)
    low, high = np.percentile(draws, _ENDS, method="nearest")
    return float(np.median(array)), float(low), float(high)


def ratio_with_interval(baseline: Values, candidate: Values) -> tuple[float, float, float]:
    """Returns the geometric mean of candidate / baseline over ``(n,)`` pairs, and its 95 % bootstrap interval.

    Pairs are resampled as pairs, so that a drift common to both members does not widen the interval.

    Source:
        Efron and Tibshirani (1993), chapter 13; the geometric mean, which treats a ratio and its inverse alike:
        Fleming and Wallace (1986), "How not to lie with statistics", Communications of the ACM 29(3).
    """
    logs = np.log(np.asarray(candidate, dtype=float) / np.asarray(baseline, dtype=float))
    draws = np.random.default_rng(0).choice(logs, (_DRAWS, len(logs))).mean(axis=1)
    low, high = np.percentile(draws, _ENDS)
    return float(np.exp(logs.mean())), float(np.exp(low)), float(np.exp(high))


def welch_p(baseline: Values, candidate: Values) -> float:
    """Returns the two-sided p of Welch's t test for equal means of ``(n,)`` and ``(m,)`` values, with any variances."""
    from scipy.stats import ttest_ind

    return _one_if_nan(float(ttest_ind(baseline, candidate, equal_var=False).pvalue))


def wilcoxon_p(baseline: Values, candidate: Values) -> float:
    """Returns the two-sided p of Wilcoxon's signed-rank test of ``(n,)`` pairs; 1 if all pairs are equal."""
    from scipy.stats import wilcoxon

    if np.array_equal(baseline, candidate):
        return 1.0
    return _one_if_nan(float(wilcoxon(baseline, candidate).pvalue))


def cliffs_delta(baseline: Values, candidate: Values) -> float:
    """Returns the share of (baseline, candidate) combinations with a lower candidate, minus that with a higher one.

    It assumes no distribution; times follow no known one.

    Source:
        Cliff (1993), "Dominance statistics: ordinal analyses to answer ordinal questions", Psychological Bulletin 114(3).
    """
    difference = np.asarray(baseline, dtype=float)[:, None] - np.asarray(candidate, dtype=float)[None, :]
    return float(np.sign(difference).mean())


def carry_over(seconds: Values, after_other: BoolArray, positions: IntArray) -> tuple[float, float]:
    """Tests whether the time of a side depends on which side ran before it: first-order carry-over.

    The linear trend of the logarithms over positions is removed, since a machine that slows down is not carry-over. The rest
    of the runs after the other side and after the same side is compared by the Mann-Whitney test. Five runs of each kind,
    as ten pairs have, can reach p 0.008.

    Args:
        seconds: ``(n,)``, in the order of the runs.
        after_other: ``(n,)``, whether a run came after the other side.
        positions: ``(n,)``, of the runs among those of both sides.

    Returns:
        The two-sided p, and the ratio of times after the other side to times after the same side. p is 1 if there are fewer
        than two runs of a kind.

    Source:
        Jones and Kenward (2014), "Design and Analysis of Cross-Over Trials", 3rd edition, chapter 2, for carry-over; Mann and
        Whitney (1947), "On a test of whether one of two random variables is stochastically larger than the other", Annals of
        Mathematical Statistics 18(1).
    """
    from scipy.stats import mannwhitneyu

    logs = np.log(np.asarray(seconds, dtype=float))
    if min(after_other.sum(), (~after_other).sum()) < 2:
        return 1.0, 1.0
    terms = np.column_stack([np.ones(len(logs)), positions, after_other])
    rest = (logs - np.linalg.lstsq(terms, logs)[0][1] * positions).round(12)  # rounding of equal times is no difference
    p = _one_if_nan(float(mannwhitneyu(rest[after_other], rest[~after_other]).pvalue))
    return p, float(np.exp(np.median(rest[after_other]) - np.median(rest[~after_other])))


def _one_if_nan(p: float) -> float:
    """Returns 1 for NaN, which constant values give: they are no evidence."""
    return 1.0 if np.isnan(p) else p
