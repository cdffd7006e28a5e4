"""Which trials have their block sums recorded: a sample drawn by lot, the same for any batches and workers.

The sample of a study of `n` trials is the `CAP` trials with the smallest `mix64(seed, trial)`, so that of an extended study is
drawn from the same lots. While a study runs its `n` is not known. So a trial is recorded if it would be in the sample of a
study that ends with it, with a margin of six standard deviations; reading keeps those of the whole study.
"""

from __future__ import annotations

import math

import numpy as np

from rbt_ray.study.seeds import mix64
from rbt_ray.types import BoolArray, IntArray

CAP = 32_768
"""The most trials in the sample."""
AUDIT_FIRST = 2**48
"""The number of the first trial of an audit set: larger than any of a search, so that they have seeds of their own."""
_MOST_RECORDED = CAP + 6 * math.sqrt(CAP)


def is_recorded(study_seed: int, trials: IntArray) -> BoolArray:
    """Returns ``(n,)`` whether the block sums of each trial are recorded."""
    recorded: BoolArray = mix64(study_seed, trials) / 2.0**64 <= _MOST_RECORDED / (trials + 1)
    return recorded


def is_drawn(study_seed: int, trials: IntArray, n_trials: int) -> BoolArray:
    """Returns ``(n,)`` whether each trial is in the sample of a study with the trials 0 to `n_trials` - 1."""
    if n_trials <= CAP:
        return np.ones(len(trials), bool)
    lots = mix64(study_seed, np.arange(n_trials, dtype=np.int64))
    drawn: BoolArray = mix64(study_seed, trials) <= np.partition(lots, CAP - 1)[CAP - 1]
    return drawn
