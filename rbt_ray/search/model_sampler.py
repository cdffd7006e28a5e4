"""What samplers that model results have in common: what is pending, what was proposed, and where a model fails."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from rbt_ray.search.levels import Levels
from rbt_ray.search.random_search import RandomSearch
from rbt_ray.search.ranking import Ranking
from rbt_ray.study.space import Space
from rbt_ray.types import FloatArray

_ROUNDS = 8  # of candidates, before a config is drawn at random


class Model(Protocol):
    """What a sampler learns with; pure, its random numbers come from the generator it is given."""

    def is_ready(self, ranking: Ranking) -> bool:
        """Whether there are results enough."""
        ...

    def fit(self, ranking: Ranking, pending: FloatArray, rng: np.random.Generator) -> None:
        """Learn from results, and from levels ``(n, n_params)`` of configs whose results are not there yet."""
        ...

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """Candidates, ``(n, n_params)`` levels."""
        ...

    def best(self, candidates: FloatArray) -> int:
        """Which of the candidates looks best."""
        ...


class ModelSampler:
    def __init__(
        self, space: Space, levels: Levels, model: Model, *, seed: int, random_fraction: float, count_pending: bool
    ) -> None:
        self._space, self._levels, self._model = space, levels, model
        self._random_fraction, self._count_pending = random_fraction, count_pending
        self._rng = np.random.default_rng([seed % 2**64, 0xB0B])
        self._random = RandomSearch(space, seed=seed)
        self._rankings: dict[float, Ranking] = {}
        self._seen: set[bytes] = set()
        self._pending: dict[bytes, FloatArray] = {}
        self._modelled = -math.inf
        self._stale = True
        self.fallbacks = 0

    def sample(self) -> FloatArray | None:
        point = None
        if self._modelled > 0 and self._rng.random() >= self._random_fraction:
            point = self._by_model()
            self.fallbacks += point is None
        if point is None:
            point = self._at_random()
        if point is not None:
            key = point.tobytes()
            self._seen.add(key)
            self._pending[key] = point
            self._stale |= self._count_pending
        return point

    def learn(self, point: FloatArray, fidelity: float, loss: float) -> None:
        key = point.tobytes()
        self._seen.add(key)
        if self._pending.pop(key, None) is not None:
            self._stale |= self._count_pending
        if math.isnan(loss):
            if fidelity < 1:
                return
            loss = math.inf
        ranking = self._rankings.get(fidelity)
        if ranking is None:
            ranking = self._rankings[fidelity] = Ranking(self._levels)
        ranking.add(point, loss)
        if fidelity >= self._modelled and self._model.is_ready(ranking):
            self._modelled = fidelity
            self._stale = True

    def _by_model(self) -> FloatArray | None:
        if self._stale:
            pending = (
                np.array(list(self._pending.values()))
                if self._count_pending and self._pending
                else np.empty((0, self._space.n_params))
            )
            self._model.fit(self._rankings[self._modelled], self._levels.of(pending), self._rng)
            self._stale = False
        for _ in range(_ROUNDS):
            levels = self._model.draw(self._rng)
            points = self._levels.points(levels)
            fresh = np.array([point.tobytes() not in self._seen for point in points])
            if self._space.forbidden:
                fresh &= self._space.allowed(points)
            if fresh.all():
                return points[self._model.best(levels)]
            if fresh.any():
                return points[fresh][self._model.best(levels[fresh])]
        return None

    def _at_random(self) -> FloatArray | None:
        while not self._random.done:
            point = self._random.ask(1).points[0]
            if point.tobytes() not in self._seen:
                return point
        return None
