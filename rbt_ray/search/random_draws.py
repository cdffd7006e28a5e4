"""Random search and Sobol search: draws from the unit cube, each config once, until a finite space is exhausted."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rbt_ray.errors import SpaceError
from rbt_ray.search import sobol
from rbt_ray.search.fixed_sequence import WHAT_TO_DO, FixedSequence, nothing_allowed, what_excludes
from rbt_ray.study.space import Space
from rbt_ray.types import Config, FloatArray, IntArray

if TYPE_CHECKING:
    from scipy.stats.qmc import Sobol

_ROUNDS = 6
_MOST_FRUITLESS = 10**6  # candidates without a new config after which a space counts as exhausted, or as all forbidden
_MOST_SOBOL_PARAMS = 21201  # scipy has direction numbers for so many


class Shuffle:
    """A permutation of range(n) that a generator picks.

    Args:
        n: the length, at most 2**62.
        rng: picks the permutation.

    Source:
        A Feistel network on the next power of 4, repeated until the number is below n: Black and Rogaway (2002), "Ciphers
        with Arbitrary Finite Domains", CT-RSA, 114-130.
    """

    def __init__(self, n: int, rng: np.random.Generator) -> None:
        self._n = n
        self._half = np.uint64(max((n - 1).bit_length() + 1, 2) // 2)
        self._keys = rng.integers(2**64, size=_ROUNDS, dtype=np.uint64)

    def __len__(self) -> int:
        return self._n

    def block(self, start: int, stop: int) -> IntArray:
        """Returns the numbers at positions `start` to `stop`."""
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


_MOST_FRUITLESS = 10**6  # candidates without a new config after which a space counts as exhausted, or as all forbidden
_WORTHWHILE = 8  # if fewer than one in so many draws is new, walking the grid is faster than drawing
_WALKABLE = 2**32  # rows of a grid that can be scanned in minutes
_QUICKLY_WALKABLE = 10**7  # rows to scan where no draw was allowed


class UniqueDraws(FixedSequence):
    """Draws without repeats, forbidden configs and configs that break a constraint.

    When a finite space is nearly exhausted, most draws are repeats. After the first block in which fewer than one in eight
    is new, the rest comes from the grid in random order, if that has at most 2**32 rows. Any other space counts as exhausted
    after a million draws in a row without a new config; `notes` says so.

    Raises:
        SpaceError: as `FixedSequence`; and in `ask`, if nothing in a grid of at most 10**7 rows, or none of a million draws
            from another space, is allowed.
    """

    def __init__(
        self, space: Space, *, limit: int | None = None, seed: int = 0, points_to_evaluate: Sequence[Config] = ()
    ) -> None:
        super().__init__(space, limit=limit, seed=seed, points_to_evaluate=points_to_evaluate)
        self._rest: Shuffle | None = None
        self._walked = 0
        self._fruitless = 0
        self._n_drawn = self._n_allowed = 0
        self._gave_up = False

    @property
    def notes(self) -> list[str]:
        """See `FixedSequence`."""
        if not self._gave_up:
            return []
        share, excluding = self._n_allowed / self._n_drawn, what_excludes(self._space)
        return [
            f"the search ended after {self._proposed:,} configs: none of {self._fruitless:,} draws in a row was new and "
            f"allowed. {excluding[0].upper()}{excluding[1:]} leave {share:.2g} of all draws. {WHAT_TO_DO}"
        ]

    @abstractmethod
    def _unit_points(self, n: int) -> FloatArray:
        """Returns the next `n` draws from the unit cube, ``(n, n_params)`` within [0, 1)."""

    def _next_block(self, n: int) -> FloatArray | None:
        points = self._drawn(n) if self._rest is None else self._from_grid(n, self._rest)
        if points is None:
            if not self._any_allowed:
                raise nothing_allowed(self._space, self._space.grid_size)
            return None
        self._fruitless = 0 if len(points) else self._fruitless + n
        if self._rest is None and self._fruitless >= _MOST_FRUITLESS:
            if self._start_walk(_WALKABLE if self._any_allowed else _QUICKLY_WALKABLE):
                return points
            if not self._any_allowed:
                raise nothing_allowed(self._space, self._fruitless)
            self._gave_up = True
            return None
        return points

    def _drawn(self, n: int) -> FloatArray:
        space = self._space
        points = space.canonical(space.from_unit(self._unit_points(n)))
        points = points[space.allowed(points)]
        self._n_drawn, self._n_allowed = self._n_drawn + n, self._n_allowed + len(points)
        new = points[self._seen.add(space.digests(points))]
        self._any_allowed |= len(points) > 0
        if len(points) and len(new) * _WORTHWHILE <= len(points):
            self._start_walk(_WALKABLE)
        return new

    def _start_walk(self, most_rows: int) -> bool:
        """Starts to walk the grid; returns whether there is one of at most so many rows."""
        if not self._space.is_finite or self._space.grid_size > most_rows:
            return False
        self._rest = Shuffle(self._space.grid_size, np.random.default_rng([self._seed, 0x57A1]))
        return True

    def _from_grid(self, n: int, order: Shuffle) -> FloatArray | None:
        if self._walked >= len(order):
            return None
        space = self._space
        points = space.grid_rows(order.block(self._walked, self._walked + n))
        self._walked += n
        points = space.canonical(points[space.allowed(points) & space.is_representative(points)])
        self._any_allowed |= len(points) > 0
        return points[self._seen.add(space.digests(points))]


class RandomSearch(UniqueDraws):
    """Independent draws from the domains, without repeats. See `UniqueDraws` and `FixedSequence`."""

    @cached_property
    def _rng(self) -> np.random.Generator:
        return np.random.default_rng([self._seed, 0x7A2D])

    def _unit_points(self, n: int) -> FloatArray:
        return self._rng.random((n, self._space.n_params))


class SobolSearch(UniqueDraws):
    """A scrambled Sobol sequence through the unit cube. See `UniqueDraws` and `FixedSequence`.

    Raises:
        SpaceError: as `UniqueDraws`; or there are more than 21201 parameters.

    Source:
        Joe and Kuo (2008), "Constructing Sobol sequences with better two-dimensional projections", SIAM Journal on
        Scientific Computing 30, 2635-2654; Owen (1998), "Scrambling Sobol and Niederreiter-Xing points".
    """

    def __init__(
        self, space: Space, *, limit: int | None = None, seed: int = 0, points_to_evaluate: Sequence[Config] = ()
    ) -> None:
        if space.n_params > _MOST_SOBOL_PARAMS:
            raise SpaceError(
                f"a Sobol sequence has at most {_MOST_SOBOL_PARAMS} parameters; the space has {space.n_params}. "
                f"Use search_alg='random'."
            )
        super().__init__(space, limit=limit, seed=seed, points_to_evaluate=points_to_evaluate)

    @cached_property
    def _sequence(self) -> sobol.SobolSequence | Sobol:
        rng, n_params = np.random.default_rng([self._seed, 0x50B0]), self._space.n_params
        if n_params <= sobol.MOST_PARAMS:
            return sobol.SobolSequence(n_params, rng)
        from scipy.stats.qmc import Sobol  # the same points, for which it has all direction numbers

        return Sobol(n_params, bits=sobol.BITS, seed=rng)

    def _unit_points(self, n: int) -> FloatArray:
        # n is a power of 2, as the balance of the sequence needs it
        return self._sequence.random(n) if self._space.n_params else np.empty((n, 0))
