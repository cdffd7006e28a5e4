"""Points drawn from the unit cube, each config once, until a finite space is used up."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rbt_ray.search.fixed_sequence import FixedSequence, nothing_allowed
from rbt_ray.study.space import Space
from rbt_ray.types import Config, FloatArray, IntArray

_ROUNDS = 6


class Shuffle:
    """A permutation of range(n) that a generator picks.

    Args:
        n: how many there are, at most 2**62.
        rng: picks the permutation.

    Source:
        A Feistel network on the next power of 4, walked until it is back below n: Black and Rogaway (2002), "Ciphers
        with Arbitrary Finite Domains", CT-RSA, 114-130.
    """

    def __init__(self, n: int, rng: np.random.Generator) -> None:
        self._n = n
        self._half = np.uint64(max((n - 1).bit_length() + 1, 2) // 2)
        self._keys = rng.integers(2**64, size=_ROUNDS, dtype=np.uint64)

    def __len__(self) -> int:
        return self._n

    def block(self, start: int, stop: int) -> IntArray:
        """The numbers at positions `start` to `stop` of the order."""
        numbers = self._permuted(np.arange(start, min(stop, self._n), dtype=np.uint64))
        while (outside := numbers >= self._n).any():
            numbers[outside] = self._permuted(numbers[outside])
        return numbers.astype(np.int64)

    def _permuted(self, numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
        left, right = numbers >> self._half, numbers & ((np.uint64(1) << self._half) - np.uint64(1))
        for key in self._keys:
            mixed = (right ^ key) * np.uint64(0x9E3779B97F4A7C15)
            mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0xBF58476D1CE4E5B9)
            left, right = right, left ^ (mixed >> (np.uint64(64) - self._half))
        return (left << self._half) | right


_PATIENCE = 10**6  # candidates without a new config after which a space counts as used up, or as all forbidden
_WORTHWHILE = 8  # of so many allowed draws one must be new, or walking the grid is quicker than drawing
_WALKABLE = 2**32  # rows of a grid that are looked through in minutes


class UniqueDraws(FixedSequence):
    """Draws, of which forbidden ones and repeats are drawn again.

    Where a finite space is nearly used up, draws are mostly repeats. From the first block in which fewer than one in
    eight is new, what is left comes in a random order of the grid instead, if that has at most 2**32 rows. Any other space
    counts as used up when a million draws in a row bring nothing new.

    Raises:
        SpaceError: as `FixedSequence`; and when asked, where of a million candidates none was allowed.
    """

    def __init__(
        self, space: Space, *, limit: int | None = None, seed: int = 0, points_to_evaluate: Sequence[Config] = ()
    ) -> None:
        super().__init__(space, limit=limit, seed=seed, points_to_evaluate=points_to_evaluate)
        self._rest: Shuffle | None = None
        self._walked = 0
        self._fruitless = 0

    @abstractmethod
    def _levels(self, n: int) -> FloatArray:
        """The next `n` draws from the unit cube, ``(n, n_params)`` within [0, 1)."""

    def _next_block(self, n: int) -> FloatArray | None:
        points = self._drawn(n) if self._rest is None else self._off_the_grid(n, self._rest)
        if points is None:
            if not self._any_allowed:
                raise nothing_allowed(self._walked)
            return None
        self._fruitless = 0 if len(points) else self._fruitless + n
        if self._fruitless >= _PATIENCE:
            if not self._any_allowed:
                raise nothing_allowed(self._fruitless)
            if self._rest is None and not self._walk_from_now_on():
                return None
        return points

    def _drawn(self, n: int) -> FloatArray:
        space = self._space
        points = space.canonical(space.from_unit(self._levels(n)))
        points = points[space.allowed(points)]
        new = points[self._seen.add(space.digests(points))]
        self._any_allowed |= len(points) > 0
        if len(points) and len(new) * _WORTHWHILE <= len(points):
            self._walk_from_now_on()
        return new

    def _walk_from_now_on(self) -> bool:
        """Whether there is a grid to walk."""
        if not self._space.is_finite or self._space.grid_size > _WALKABLE:
            return False
        self._rest = Shuffle(self._space.grid_size, np.random.default_rng([self._seed, 0x57A1]))
        return True

    def _off_the_grid(self, n: int, order: Shuffle) -> FloatArray | None:
        if self._walked >= len(order):
            return None
        space = self._space
        points = space.grid_rows(order.block(self._walked, self._walked + n))
        self._walked += n
        points = space.canonical(points[space.allowed(points) & space.is_representative(points)])
        self._any_allowed |= len(points) > 0
        return points[self._seen.add(space.digests(points))]
