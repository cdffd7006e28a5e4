"""Which trials have their block sums recorded: a sample drawn by lot, the same for any batches and workers.

Every trial has a lot, `mix64(seed, trial)` as a share of 2**64. The sample of `n` trials is those with a lot below a limit, and
at most the `CAP` lowest lots, so that an extended study draws from the same lots. The limit falls with `n`: a trial is recorded if
it is in the sample of the trials up to it, and reading keeps the sample of all.
"""

from __future__ import annotations

import math

import numpy as np

from rbt_ray.study.trials import mix64
from rbt_ray.types import BoolArray, FloatArray, IntArray

CAP = 32_768
"""The most trials in the sample."""
_MOST_RECORDED = CAP + 6 * math.sqrt(CAP)
"""The mean number of lots below the limit: six standard deviations above `CAP`, so that the lowest `CAP` are among them."""
_LEAST_RECORDED = 2_000
"""The mean size of the sample of a study that ends long before the planned number of trials."""
AUDIT_FIRST = 2**48
"""The number of the first trial of an audit set: larger than any of a search, so that they have seeds of their own."""


def is_recorded(study_seed: int, trials: IntArray, n_planned: int) -> BoolArray:
    """Returns ``(n,)`` whether the block sums of each trial are recorded.

    Args:
        study_seed: of the study.
        trials: ``(n,)`` trial numbers.
        n_planned: how many trials the study will have at most; 0 if that is not known.
    """
    recorded: BoolArray = mix64(study_seed, trials) / 2.0**64 <= _limit(trials + 1, n_planned)
    return recorded


def is_drawn(study_seed: int, trials: IntArray, n_trials: int, n_planned: int) -> BoolArray:
    """Returns ``(n,)`` whether each trial is in the sample of a study with the trials 0 to `n_trials` - 1."""
    lots, limit = mix64(study_seed, trials), _limit(np.array([n_trials]), n_planned)
    drawn: BoolArray = lots / 2.0**64 <= limit
    if n_trials > CAP:
        all_lots = mix64(study_seed, np.arange(n_trials, dtype=np.int64))
        below = all_lots[all_lots / 2.0**64 <= limit]  # few of many, and so faster to partition
        if len(below) > CAP:
            drawn &= lots <= np.partition(below, CAP - 1)[CAP - 1]
    return drawn


def _limit(n_trials: IntArray, n_planned: int) -> FloatArray:
    """Returns the lots that are in the sample of so many trials, as a share; it never grows with their number."""
    limit: FloatArray = _MOST_RECORDED / np.maximum(n_trials, max(n_planned, 1))
    return np.maximum(limit, _LEAST_RECORDED / np.maximum(n_trials, 1))
