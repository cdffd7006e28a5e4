"""Validates the answers of workers, and converts them to what the journal can record."""

from __future__ import annotations

from typing import Any

import numpy as np

from rbt_ray.block_sums import N_WITH_GROWTH
from rbt_ray.columns import Outcomes
from rbt_ray.objectives.out_of_sample import OutOfSample
from rbt_ray.objectives.returned_metrics import only_finite
from rbt_ray.objectives.review import Review
from rbt_ray.recordable import require
from rbt_ray.types import COMPLETED, FAILED

_MAX_BYTES = 500_000_000
"""Of one batch: SQLite limits a row to twice as many."""
_BYTES_PER_CHAR = 12  # an emoji in JSON: two escapes of six bytes
_BYTES_PER_NUMBER = 28  # a float in JSON
_BYTES_PER_BLOCK_ROW = 8 * (1 + N_WITH_GROWTH)


def outcomes_of(answer: Any, n: int, metric: str) -> Outcomes:
    """Returns a worker's outcomes of `n` trials in a form that can be recorded.

    Raises:
        ValueError: the answer is invalid, or too large.
    """
    require(type(answer) is Outcomes, "answer", answer)
    outcomes = answer.recordable(n)
    failed = np.flatnonzero(outcomes.status != COMPLETED)
    require(bool((outcomes.status[failed] == FAILED).all()), "status", outcomes.status)
    require(outcomes.errors.keys() >= set(failed.tolist()), "errors", outcomes.errors)
    size = _size(outcomes)
    if size > _MAX_BYTES:
        raise ValueError(f"its metrics and errors take {size:,} bytes, and a batch may take {_MAX_BYTES:,}")
    return only_finite(outcomes, metric)


def review_of(answer: Any) -> Review:
    """Returns a worker's review in a form that can be recorded.

    Raises:
        ValueError: the answer is not a valid review.
    """
    require(type(answer) is Review, "answer", answer)
    review: Review = answer.recordable()
    return review


def out_of_sample_of(answer: Any) -> OutOfSample:
    """Returns a worker's test of a config in a form that can be recorded.

    Raises:
        ValueError: the answer is not valid.
    """
    require(type(answer) is OutOfSample, "answer", answer)
    found: OutOfSample = answer.recordable()
    return found


def _size(outcomes: Outcomes) -> int:
    """Returns an upper bound of the bytes that the outcomes take in the journal."""
    n, numbers = len(outcomes), 0
    chars = sum(map(len, [*outcomes.errors.values(), *outcomes.metrics]))
    for column in outcomes.metrics.values():
        if column.kind == "json":
            values = column.values.tolist()
            chars += sum([len(value) for value in values if type(value) is str])
            chars += sum([value.bit_length() for value in values if type(value) is int])  # more than its digits
        numbers += n * (_BYTES_PER_NUMBER if column.kind == "json" else 9)
    if outcomes.block_sums is not None:
        numbers += _BYTES_PER_BLOCK_ROW * len(outcomes.block_sums)
    return _BYTES_PER_CHAR * chars + numbers
