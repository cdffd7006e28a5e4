"""Grid, random and Bayesian search behind suggest, update and is_complete."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from decimal import Decimal
from math import isfinite
from typing import Any

import numpy as np

from rbt_ray.compat.rustybt.parameter_space import python_values, to_space
from rbt_ray.errors import InputError, NoResultError, SettingError
from rbt_ray.search.bohb import BOHB
from rbt_ray.search.grid_search import GridSearch
from rbt_ray.search.random_search import RandomSearch
from rbt_ray.study.space import Space
from rbt_ray.types import FloatArray

Params = dict[str, Any]


class SearchAlgorithm(ABC):
    """Suggests parameters, one after the other; may be asked for more while results are awaited.

    Scores are better when higher; one that is not finite says that the trial failed.

    Args:
        parameter_space: a `ParameterSpace`, RustyBT's own, or whatever `rbt.Tuner` takes as `param_space`.
    """

    learns: bool = True
    """Whether results change what is suggested."""

    def __init__(self, parameter_space: Any) -> None:
        self.parameter_space = parameter_space
        self.space: Space = to_space(parameter_space)
        self._results: list[tuple[Params, Decimal]] = []

    @abstractmethod
    def is_complete(self) -> bool:
        """Whether nothing more will be suggested."""

    @abstractmethod
    def _next(self) -> FloatArray:
        """The next point, ``(n_params,)``; asked for only while not complete."""

    def suggest(self) -> Params:
        """The next parameters to try.

        Raises:
            InputError: the search is complete.
        """
        if self.is_complete():
            raise InputError(f"the search is complete after {len(self._results)} results; there is nothing to suggest.")
        return dict(self.space.decode(self._next()[np.newaxis])[0])

    def update(self, params: Params, score: Decimal | float) -> None:
        """Learns a result; `params` need not be suggested ones."""
        self._results.append((params, Decimal(str(score))))

    @property
    def iteration(self) -> int:
        """How many results there are."""
        return len(self._results)

    def get_results(self, top_k: int | None = None) -> list[tuple[Params, Decimal]]:
        """Parameters and scores, best first, failed ones left out; the first `top_k`."""
        finite = [one for one in self._results if one[1].is_finite()]
        return sorted(finite, key=lambda one: -one[1])[:top_k]

    def get_best_result(self) -> tuple[Params, Decimal]:
        """The best parameters and their score.

        Raises:
            NoResultError: there is no result yet.
        """
        if not (best := self.get_results(1)):
            raise NoResultError("no result was told to the search that is not failed.")
        return best[0]

    def get_best_params(self) -> Params:
        """The best parameters; see `get_best_result`."""
        return self.get_best_result()[0]

    def _since_best(self) -> int:
        """How many results have come since the best."""
        scores = [score for _, score in self._results]
        finite = [score for score in scores if score.is_finite()]
        return len(scores) - 1 - scores.index(max(finite)) if finite else len(scores)


class GridSearchAlgorithm(SearchAlgorithm):
    """Every combination once, the last parameter changing fastest.

    Args:
        parameter_space: of finitely many combinations.
        early_stopping_rounds: stop when so many results in a row are no better than the best; None: never.

    Raises:
        SpaceError: a parameter has infinitely many values.
    """

    def __init__(self, parameter_space: Any, early_stopping_rounds: int | None = None) -> None:
        super().__init__(parameter_space)
        self.early_stopping_rounds = require_count_or_none("early_stopping_rounds", early_stopping_rounds)
        self.learns = early_stopping_rounds is not None
        self._stream = GridSearch(self.space)

    @property
    def total_combinations(self) -> int:
        """How many there are."""
        return self.space.grid_size

    def is_complete(self) -> bool:
        """See `SearchAlgorithm`."""
        rounds = self.early_stopping_rounds
        return self._stream.done or (rounds is not None and self._since_best() >= rounds)

    def _next(self) -> FloatArray:
        point: FloatArray = self._stream.ask(1).points[0]
        return point


class RandomSearchAlgorithm(SearchAlgorithm):
    """Independent draws; a finite space is used up without repeats.

    Args:
        parameter_space: what to draw from.
        n_iter: how many.
        seed: everything random follows from it; None draws one.
    """

    learns = False

    def __init__(self, parameter_space: Any, n_iter: int, seed: int | None = None) -> None:
        super().__init__(parameter_space)
        self.n_iter = require_count("n_iter", n_iter)
        self._stream = RandomSearch(self.space, limit=self.n_iter, seed=resolve_seed(seed))

    def is_complete(self) -> bool:
        """See `SearchAlgorithm`."""
        return self._stream.done

    def _next(self) -> FloatArray:
        point: FloatArray = self._stream.ask(1).points[0]
        return point


class BayesianOptimizer(SearchAlgorithm):
    """A model of the results says what to try: a multivariate Parzen estimator, from Sobol points on; see `rbt.BOHB`.

    Args:
        parameter_space: what to search.
        n_iter: how many suggestions.
        acq_func: "EI", the expected improvement that the estimator's ratio of densities ranks by.
        initial_points: parameters that are known, with `initial_scores`, or that are suggested first.
        initial_scores: their scores, one each; None: they are still to be tried.
        random_state: everything random follows from it; None draws one.

    Source:
        Bergstra, Bardenet, Bengio and Kegl (2011), "Algorithms for Hyper-Parameter Optimization", NeurIPS 24.
    """

    def __init__(
        self,
        parameter_space: Any,
        n_iter: int = 50,
        acq_func: str = "EI",
        initial_points: Sequence[Params] | None = None,
        initial_scores: Sequence[Decimal | float] | None = None,
        random_state: int | None = None,
    ) -> None:
        super().__init__(parameter_space)
        if acq_func != "EI":
            raise SettingError(f"`acq_func` is 'EI', by which the model ranks; got {acq_func!r}.")
        self.n_iter = require_count("n_iter", n_iter)
        self._sampler = BOHB(model="tpe").sampler(self.space, resolve_seed(random_state))
        self._suggested = 0
        self._known: set[bytes] = set()
        self._first = list(self.space.encode([python_values(point) for point in initial_points or ()]))
        if initial_scores is not None:
            if len(initial_scores) != len(self._first):
                raise SettingError(
                    f"`initial_scores` is one for each of {len(self._first)} initial points; got {len(initial_scores)}."
                )
            for point, score in zip(initial_points or (), initial_scores, strict=True):
                self.update(point, score)
            self._first = []

    def update(self, params: Params, score: Decimal | float) -> None:
        """See `SearchAlgorithm`."""
        super().update(params, score)
        loss = -float(score)
        point = self.space.encode([python_values(params)])[0]
        self._known.add(point.tobytes())
        self._sampler.learn(point, 1.0, loss if isfinite(loss) else np.nan)

    def is_complete(self) -> bool:
        """See `SearchAlgorithm`."""
        size = self.space.size
        return self._suggested >= self.n_iter or (size is not None and len(self._known) >= size)

    def _next(self) -> FloatArray:
        point = self._first.pop(0) if self._first else self._sampler.sample()
        if point is None:
            raise InputError("there are no parameters left that were not suggested.")
        self._known.add(point.tobytes())
        self._suggested += 1
        return point


def require_count(name: str, value: Any) -> int:
    """The value, if it is a whole number above 0; SettingError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SettingError(f"`{name}` is a whole number of at least 1; got {value!r}.")
    return value


def require_count_or_none(name: str, value: Any) -> int | None:
    """The same, or None."""
    return None if value is None else require_count(name, value)


def resolve_seed(seed: int | None) -> int:
    """The seed, or one that is drawn."""
    if seed is None:
        return secrets.randbits(32)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise SettingError(f"a seed is a whole number of at least 0; got {seed!r}.")
    return seed
