"""Why trials failed: errors grouped by the exception's type and the line that raised it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

_PLACE = re.compile(r'^  File "(.*)", line (\d+)', re.MULTILINE)
_LONGEST = 300
_MOST = 5
_MOST_TEXTS = 10_000


@dataclass(slots=True)
class FailureCause:
    """Trials that failed in the same way.

    Args:
        n: how many.
        error: the error of the first of them.
    """

    n: int
    error: str

    def __str__(self) -> str:
        """Returns the last line of the first error, without a full stop at its end, and the line of code that raised it."""
        _, *place = cause_of(self.error)
        last = self.error.strip().rpartition("\n")[2]
        shown = last if len(last) <= _LONGEST else f"{last[:_LONGEST]}..."
        return f"{shown} ({place[0]}, line {place[1]})" if place else shown.removesuffix(".")


def cause_of(error: str) -> tuple[str, ...]:
    """Returns the exception's type, the file and the line; only the whole last line for an error without a traceback."""
    last = error.strip().rpartition("\n")[2]
    places = _PLACE.findall(error)
    return (last.partition(":")[0], *places[-1]) if places else (last,)


def by_cause(errors: Iterable[str]) -> list[FailureCause]:
    """Returns the causes of errors, the most frequent first; texts beyond the first `_MOST_TEXTS` different ones are one cause."""
    found: dict[tuple[str, ...], FailureCause] = {}
    for number, (error, n) in enumerate(Counter(errors).items()):
        cause = cause_of(error) if number < _MOST_TEXTS else ("",)
        found.setdefault(cause, FailureCause(0, error)).n += n
    return sorted(found.values(), key=lambda cause: -cause.n)


def sentence(causes: list[FailureCause], n_trials: int) -> str:
    """Returns how many trials failed, and for what reasons; empty without causes."""
    n = sum(cause.n for cause in causes)
    if not n:
        return ""
    shown = "; ".join(f"{cause.n:,} with {cause}" for cause in causes[:_MOST])
    others = sum(cause.n for cause in causes[_MOST:])
    more = f"; {others:,} for other reasons" if others else ""
    return f"{n:,} of {n_trials:,} trials failed: {shown}{more}."
