"""Search algorithms with suggest, update and is_complete as searchers of rbt_ray."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, ClassVar

from rbt_ray.compat.rustybt.parameter_space import python_values
from rbt_ray.compat.rustybt.search_algorithms import SearchAlgorithm
from rbt_ray.errors import SettingError
from rbt_ray.types import Proposal, Result

_INDEPENDENT = ("GridSearchAlgorithm", "RandomSearchAlgorithm")


def require_strategy(strategy: Any) -> None:
    """Raises SettingError if an object is not a search algorithm."""
    lacking = [name for name in ("suggest", "update", "is_complete") if not callable(getattr(strategy, name, None))]
    if lacking or isinstance(strategy, type):
        raise SettingError(
            f"`algorithm` must be an object with `suggest()`, `update(params, score)` and `is_complete()`, such as "
            f"GridSearchAlgorithm(space); got {strategy!r}."
        )


def max_open_suggestions(strategy: Any, batch_size: int | None, n_jobs: int) -> int:
    """Returns the limit of open suggestions.

    A search algorithm of another package may accept only the result of its last suggestion, as RustyBT's Bayesian and genetic
    ones do. Unless the caller sets `batch_size`, it is asked for one suggestion at a time, and one worker is busy.
    """
    kind = type(strategy)
    theirs = kind.__module__.partition(".")[0] == "rustybt"
    if isinstance(strategy, SearchAlgorithm) or (theirs and kind.__name__ in _INDEPENDENT):
        return batch_size or 2 * n_jobs
    ahead = 1 if theirs else batch_size or 1
    if ahead == 1 and n_jobs > 1:
        warnings.warn(
            f"{kind.__name__} is asked for one suggestion at a time, so that only one worker of {n_jobs} is busy: "
            f"use the classes of rbt_ray.compat.rustybt"
            + ("." if theirs else ", or set `batch_size` if yours can be asked for several."),
            stacklevel=3,
        )
    return ahead


class StrategyFeedback:
    """Reports results to a search algorithm; a failed trial gets the worst score so far, as a model accepts no infinity.

    Our own search algorithms handle a score of -Infinity.
    """

    def __init__(self, strategy: Any) -> None:
        self._strategy = strategy
        self._knows_failure = isinstance(strategy, SearchAlgorithm)
        self._worst: Decimal | None = None
        self._held: list[dict[str, Any]] = []

    def tell(self, params: dict[str, Any], score: Decimal) -> None:
        """Reports a result; holds back a failed one until there is a score."""
        if self._knows_failure or score.is_finite():
            self._strategy.update(params, score)
        else:
            self._held.append(params)
        if score.is_finite():
            self._worst = score if self._worst is None else min(self._worst, score)
        if self._worst is not None:
            self.release()

    def release(self) -> None:
        """Reports the results held back; if all trials have failed, they get equal scores."""
        held, self._held = self._held, []
        for params in held:
            self._strategy.update(params, Decimal(0) if self._worst is None else self._worst)


class StrategySearcher:
    """A search algorithm as a searcher.

    Args:
        strategy: a new search algorithm.
        ahead: limit of open suggestions.
        limit: limit of all suggestions; None: until the search is complete.
    """

    learns: ClassVar[bool] = True

    def __init__(self, strategy: Any, ahead: int, limit: int | None = None) -> None:
        self._strategy = strategy
        self._feedback = StrategyFeedback(strategy)
        self._ahead = ahead
        self._limit = limit
        self._asked = 0
        self._open: dict[int, dict[str, Any]] = {}

    @property
    def n_asked(self) -> int:
        """Number of suggestions so far; the last one's number is one less."""
        return self._asked

    @property
    def done(self) -> bool:
        """See `Searcher`."""
        if self._asked == self._limit:
            return True
        if not self._open:
            self._feedback.release()
        return bool(self._strategy.is_complete())

    def ask(self, n: int) -> Sequence[Proposal]:
        """See `Searcher`."""
        proposals: list[Proposal] = []
        while len(proposals) < n and (params := self.suggest()) is not None:
            # the tag is the suggestion's number: a suggestion that breaks a constraint is no trial
            proposals.append(Proposal(python_values(params), tag=(self._asked - 1,)))
        return proposals

    def suggest(self) -> dict[str, Any] | None:
        """Returns the algorithm's next suggestion; None if it waits for results or is done."""
        if self.done or len(self._open) >= self._ahead:
            return None
        try:
            params: dict[str, Any] = self._strategy.suggest()
        except Exception:  # an algorithm may raise if it needs results first
            if self._open:
                return None
            raise
        self._open[self._asked] = params
        self._asked += 1
        return params

    def tell(self, results: Sequence[Result]) -> None:
        """See `Searcher`."""
        for result in results:
            score = Decimal("-Infinity") if result.loss is None else Decimal(str(-result.loss))
            self.tell_score(result.tag[0], score)

    def tell_score(self, number: int, score: Decimal) -> None:
        """Reports the score of a suggestion by its number."""
        self._feedback.tell(self._open.pop(number), score)
