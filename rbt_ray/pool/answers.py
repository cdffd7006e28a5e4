"""What a worker says of a batch, as the driver can record it."""

from __future__ import annotations

from typing import Any

import numpy as np

from rbt_ray.columns import Outcomes
from rbt_ray.errors import PricesChangedError
from rbt_ray.objectives.objective import only_finite
from rbt_ray.objectives.review import Review
from rbt_ray.recordable import require, text
from rbt_ray.types import COMPLETED, FAILED

_MOST_BYTES = 500_000_000
"""Of one batch: SQLite holds a row of twice as many."""
_LONGEST_PLACE = 500
_BYTES_A_LETTER = 12  # an emoji's in JSON: two escapes of six
_BYTES_A_NUMBER = 28  # a float in JSON


def outcomes_of(answer: Any, n: int, metric: str) -> Outcomes:
    """Returns a worker's outcomes of `n` trials, as they can be recorded.

    Raises:
        ValueError: they are not, or are too large.
    """
    require(type(answer) is Outcomes, "answer", answer)
    outcomes = answer.recordable(n)
    failed = np.flatnonzero(outcomes.status != COMPLETED)
    require(bool((outcomes.status[failed] == FAILED).all()), "status", outcomes.status)
    require(outcomes.errors.keys() >= set(failed.tolist()), "errors", outcomes.errors)
    size = _size(outcomes)
    if size > _MOST_BYTES:
        raise ValueError(f"its metrics and errors take {size:,} bytes, of which a batch may have {_MOST_BYTES:,}")
    return only_finite(outcomes, metric)


def review_of(answer: Any) -> Review:
    """Returns a worker's review, as it can be recorded.

    Raises:
        ValueError: it is none.
    """
    require(type(answer) is Review, "answer", answer)
    review: Review = answer.recordable()
    return review


def prices_changed(where: Any) -> PricesChangedError:
    """The error for a worker's prices that are not those that the study began with.

    Raises:
        ValueError: `where` is no text.
    """
    return PricesChangedError(text(where)[:_LONGEST_PLACE])


def check_of(answer: Any) -> None:
    """Reads a worker's answer to a check of its prices.

    Raises:
        ValueError: it is no such answer.
    """
    require(answer is None, "answer", answer)


def _size(outcomes: Outcomes) -> int:
    """Bytes that the outcomes take in the journal, or more."""
    n, numbers = len(outcomes), 0
    letters = sum(map(len, [*outcomes.errors.values(), *outcomes.metrics]))
    for column in outcomes.metrics.values():
        if column.kind == "json":
            values = column.values.tolist()
            letters += sum([len(value) for value in values if type(value) is str])
            letters += sum([value.bit_length() for value in values if type(value) is int])  # more than its digits
        numbers += n * (_BYTES_A_NUMBER if column.kind == "json" else 9)
    return _BYTES_A_LETTER * letters + numbers
