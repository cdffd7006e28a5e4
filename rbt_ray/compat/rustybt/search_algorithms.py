"""Grid, random and Bayesian search with RustyBT's interface: suggest, update and is_complete."""

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
from rbt_ray.search.fixed_sequence import GridSearch
from rbt_ray.search.random_draws import RandomSearch
from rbt_ray.study.domains import Choice
from rbt_ray.study.space import Space
from rbt_ray.types import FloatArray

Params = dict[str, Any]
_STEP = 0.1
_TRIES = 100


class SearchAlgorithm(ABC):
    """Base class of search algorithms, which suggest params; they may be asked for more before results arrive.

    A higher score is better; a score that is not finite means that the trial failed.

    Args:
        parameter_space: a `ParameterSpace`, RustyBT's own, or any `param_space` of `rbt.Tuner`.
    """

    learns: bool = True
    """Whether suggestions depend on results."""

    def __init__(self, parameter_space: Any) -> None:
        self.parameter_space = parameter_space
        self.space: Space = to_space(parameter_space)
        if self.space.constraints:
            _ = RandomSearch(self.space).done  # says if they leave nothing
        self._results: list[tuple[Params, Decimal]] = []

    @abstractmethod
    def is_complete(self) -> bool:
        """Returns whether there are no more suggestions."""

    @abstractmethod
    def _next(self) -> FloatArray:
        """Returns the next point, ``(n_params,)``; called only while the search is not complete."""

    def suggest(self) -> Params:
        """Returns the next params to try.

        Raises:
            InputError: the search is complete.
        """
        if self.is_complete():
            raise InputError(f"the search is complete after {len(self._results)} results; it has no more suggestions.")
        return dict(self.space.decode(self._next()[np.newaxis])[0])

    def update(self, params: Params, score: Decimal | float) -> None:
        """Records a result; `params` need not be suggested ones."""
        self._results.append((params, Decimal(str(score))))

    @property
    def iteration(self) -> int:
        """Number of results."""
        return len(self._results)

    def get_results(self, top_k: int | None = None) -> list[tuple[Params, Decimal]]:
        """Returns params and scores, best first, without failed ones; the first `top_k`."""
        finite = [one for one in self._results if one[1].is_finite()]
        return sorted(finite, key=lambda one: -one[1])[:top_k]

    def get_best_result(self) -> tuple[Params, Decimal]:
        """Returns the best params and their score.

        Raises:
            NoResultError: no trial has succeeded yet.
        """
        if not (best := self.get_results(1)):
            raise NoResultError("no trial has succeeded yet.")
        return best[0]

    def get_best_params(self) -> Params:
        """Returns the best params; see `get_best_result`."""
        return self.get_best_result()[0]

    def _since_best(self) -> int:
        """Returns the number of results since the best."""
        scores = [score for _, score in self._results]
        finite = [score for score in scores if score.is_finite()]
        return len(scores) - 1 - scores.index(max(finite)) if finite else len(scores)


class GridSearchAlgorithm(SearchAlgorithm):
    """Grid search: every combination once, the last parameter changing fastest.

    Args:
        parameter_space: a space with finitely many combinations.
        early_stopping_rounds: stop after this many results in a row without a better one; None: never.

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
        """Number of combinations."""
        return self.space.grid_size

    def is_complete(self) -> bool:
        """See `SearchAlgorithm`."""
        rounds = self.early_stopping_rounds
        return self._stream.done or (rounds is not None and self._since_best() >= rounds)

    def _next(self) -> FloatArray:
        point: FloatArray = self._stream.ask(1).points[0]
        return point


class RandomSearchAlgorithm(SearchAlgorithm):
    """Random search: independent draws, without repeats in a finite space.

    Args:
        parameter_space: the space to search.
        n_iter: number of suggestions.
        seed: seed of all random draws; None: a random seed.
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
    """Bayesian search with a multivariate Parzen estimator, which begins with Sobol points; see `rbt.BOHB`.

    Args:
        parameter_space: the space to search.
        n_iter: number of suggestions.
        acq_func: "EI", expected improvement, by which the estimator's ratio of densities ranks points.
        initial_points: known params with `initial_scores`, or params to suggest first.
        initial_scores: the scores of `initial_points`; None: still to be evaluated.
        random_state: seed of all random draws; None: a random seed.

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
            raise SettingError(f"`acq_func` must be 'EI'; got {acq_func!r}.")
        self.n_iter = require_count("n_iter", n_iter)
        self._sampler = BOHB(model="tpe").sampler(self.space, resolve_seed(random_state))
        self._suggested = 0
        self._known: set[bytes] = set()
        self._first = list(self.space.encode([python_values(point) for point in initial_points or ()]))
        if initial_scores is not None:
            if len(initial_scores) != len(self._first):
                raise SettingError(
                    f"`initial_scores` needs one score for each of {len(self._first)} initial points; got {len(initial_scores)}."
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
            raise InputError("all parameters have been suggested.")
        self._known.add(point.tobytes())
        self._suggested += 1
        return point


def require_count(name: str, value: Any) -> int:
    """Returns the value if it is a whole number above 0, else raises SettingError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SettingError(f"`{name}` must be a whole number of at least 1; got {value!r}.")
    return value


def require_count_or_none(name: str, value: Any) -> int | None:
    """Like `require_count`, but allows None."""
    return None if value is None else require_count(name, value)


def resolve_seed(seed: int | None) -> int:
    """Returns the seed, or a random one for None."""
    if seed is None:
        return secrets.randbits(32)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise SettingError(f"a seed must be a whole number of at least 0; got {seed!r}.")
    return seed


class GeneticAlgorithm(SearchAlgorithm):
    """A steady-state genetic algorithm on the unit cube.

    The first `population_size` suggestions are random. Each later one is bred from the best `population_size` results so far,
    so that no worker waits for the end of a generation.

    Args:
        parameter_space: the space to search.
        population_size: how many results may breed.
        max_generations: the number of suggestions is `population_size` times this.
        tournament_size: a parent is the best of this many results, drawn with replacement.
        crossover_prob: probability that a child takes each number from either parent; else all are from the first.
        mutation_prob: probability that a number of a child changes, by a normal step of a tenth of its range; an option is
            drawn again.
        patience: stop after this many generations without a better result; None: never.
        target_fitness: stop when a result reaches this; None: never.
        seed: seed of all random draws; None: a random seed.

    Raises:
        SettingError: an argument has an invalid value.

    Source:
        Whitley (1989), "The GENITOR Algorithm and Selection Pressure", ICGA 3, 116-121: one child at a time replaces the
        worst.
    """

    def __init__(
        self,
        parameter_space: Any,
        population_size: int = 50,
        max_generations: int = 100,
        tournament_size: int = 3,
        crossover_prob: float = 0.8,
        mutation_prob: float = 0.2,
        patience: int | None = None,
        target_fitness: Decimal | float | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(parameter_space)
        self.population_size = require_count("population_size", population_size)
        self.max_generations = require_count("max_generations", max_generations)
        self.tournament_size = require_count("tournament_size", tournament_size)
        self.patience = require_count_or_none("patience", patience)
        self.target_fitness = target_fitness
        for name, value in (("crossover_prob", crossover_prob), ("mutation_prob", mutation_prob)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise SettingError(f"`{name}` must be a share from 0 to 1; got {value!r}.")
        self.crossover_prob, self.mutation_prob = crossover_prob, mutation_prob
        self._rng = np.random.default_rng(resolve_seed(seed))
        self._population: list[tuple[float, FloatArray]] = []
        self._seen: set[bytes] = set()
        self._is_choice = np.array([isinstance(domain, Choice) for domain in self.space.domains])

    @property
    def current_generation(self) -> int:
        """Number of results divided by `population_size`, rounded down."""
        return len(self._results) // self.population_size

    def is_complete(self) -> bool:
        """See `SearchAlgorithm`."""
        size = self.space.size
        if len(self._seen) >= self.population_size * self.max_generations or (size and len(self._seen) >= size):
            return True
        if self.patience is not None and self._results and self._since_best() >= self.patience * self.population_size:
            return True
        return self.target_fitness is not None and bool(
            self._population and self._population[0][0] >= float(self.target_fitness)
        )

    def update(self, params: Params, score: Decimal | float) -> None:
        """See `SearchAlgorithm`."""
        super().update(params, score)
        if not np.isfinite(float(score)):
            return
        genes = self.space.to_unit(self.space.encode([python_values(params)]))[0]
        self._population.append((float(score), genes))
        self._population.sort(key=lambda one: -one[0])  # stable: of equals the earlier stays
        del self._population[self.population_size :]

    def _next(self) -> FloatArray:
        """Returns a new point, by breeding if that succeeds within a number of tries, else by random draws."""
        tries = 0
        while True:
            bred = len(self._seen) >= self.population_size and self._population and tries < _TRIES
            genes = self._child() if bred else self._rng.random(self.space.n_params)
            point: FloatArray = self.space.canonical(self.space.from_unit(genes[np.newaxis]))
            tries += 1
            if self.space.allowed(point)[0] and point.tobytes() not in self._seen:
                self._seen.add(point.tobytes())
                new: FloatArray = point[0]
                return new

    def _child(self) -> FloatArray:
        first, second = self._parent(), self._parent()
        n = self.space.n_params
        crossed = self._rng.random() < self.crossover_prob
        child = np.where(crossed & (self._rng.random(n) < 0.5), second, first)
        moved = np.abs(child + self._rng.normal(0, _STEP, n))  # reflected at both ends
        moved = np.where(self._is_choice, self._rng.random(n), 1 - np.abs(1 - moved))
        mutated = np.where(self._rng.random(n) < self.mutation_prob, moved, child)
        inside: FloatArray = np.clip(np.nan_to_num(mutated, nan=0.5), 0.0, np.nextafter(1.0, 0.0))
        return inside

    def _parent(self) -> FloatArray:
        drawn = self._rng.integers(len(self._population), size=self.tournament_size)
        return self._population[int(drawn.min())][1]  # sorted, the best first
