"""GeneticAlgorithm: crossover and mutation of the best parameters."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from rbt_ray.compat.rustybt.parameter_space import python_values
from rbt_ray.compat.rustybt.search_algorithms import (
    Params,
    SearchAlgorithm,
    require_count,
    require_count_or_none,
    resolve_seed,
)
from rbt_ray.errors import SettingError
from rbt_ray.study.choices import Choice
from rbt_ray.types import FloatArray

_STEP = 0.1
_TRIES = 100


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
