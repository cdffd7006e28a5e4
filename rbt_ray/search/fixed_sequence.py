"""Searchers that do not learn: the base class, a fixed sequence of points, the grid, and given configs."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from rbt_ray.columns import Proposals
from rbt_ray.errors import SettingError, SpaceError
from rbt_ray.search.digest_set import DigestSet
from rbt_ray.search.scheduler import Losses
from rbt_ray.study.space import Space
from rbt_ray.types import Config, FloatArray, Result

_SMALLEST, _LARGEST = 2**10, 2**16
WHAT_TO_DO = (
    "Loosen them, use narrower domains, or search a difference (`gap` in slow = fast + gap) instead of two values."
)


class FixedSequence(ABC):
    """A fixed sequence of points: ask(a) + ask(b) == ask(a + b).

    Points are generated in blocks whose sizes do not depend on the sizes asked for, so that these cannot change the sequence.

    Args:
        space: what to search.
        limit: the maximum number of configs to propose, `points_to_evaluate` included; None for no limit.
        seed: everything random follows from it.
        points_to_evaluate: configs to propose first, once each.

    Raises:
        SpaceError: one of `points_to_evaluate` is not a config of the space.
        SettingError: `limit` is not a whole number above 0.
    """

    learns: ClassVar[bool] = False

    def __init__(
        self, space: Space, *, limit: int | None = None, seed: int = 0, points_to_evaluate: Sequence[Config] = ()
    ) -> None:
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise SettingError(f"`limit` is a whole number above 0, or None for every config there is; got {limit!r}.")
        self._space = space
        self._limit = limit
        self._seed = seed % 2**64
        self._proposed = 0
        self._blocks = 0
        self._used_up = False
        self._seen = DigestSet()
        given = space.encode(points_to_evaluate)
        self._ready = given[self._seen.add(space.digests(given))]
        self._any_allowed = len(given) > 0

    @property
    def done(self) -> bool:
        """Whether it will never propose again; may generate the next block to find out."""
        return self._proposed == self._limit or not self._refill()

    def ask(self, n: int) -> Proposals:
        """Returns the next `n` proposals, or all that are left.

        Raises:
            SpaceError: practically everything in the space is forbidden or breaks a constraint.
        """
        wanted = n if self._limit is None else min(n, self._limit - self._proposed)
        pieces = [np.empty((0, self._space.n_params))]
        while wanted > 0 and self._refill():
            piece, self._ready = self._ready[:wanted], self._ready[wanted:]
            pieces.append(piece)
            wanted -= len(piece)
            self._proposed += len(piece)
        return Proposals.at_full_fidelity(np.concatenate(pieces), self._space)

    def tell(self, results: Sequence[Result]) -> None:  # noqa: B027  there is nothing to learn
        """Does nothing: the sequence is fixed."""

    @property
    def notes(self) -> list[str]:
        """What the search has to say about its end, a sentence each."""
        return []

    @abstractmethod
    def _next_block(self, n: int) -> FloatArray | None:
        """Returns new points out of the next `n` candidates; None if there are no more candidates.

        The points are canonical, allowed and not returned before.
        """

    def _refill(self) -> bool:
        while not len(self._ready) and not self._used_up:
            block = self._next_block(min(_SMALLEST << min(self._blocks, 32), _LARGEST))
            self._blocks += 1
            if block is None:
                self._used_up = True
            else:
                self._ready = block
        return len(self._ready) > 0


class SequenceSampler:
    """A sampler that takes its points from a fixed sequence and ignores losses.

    Attributes:
        n_first: how many of the next configs need no results: all of them.
    """

    n_first = sys.maxsize

    def __init__(self, sequence: FixedSequence) -> None:
        self._sequence = sequence
        self._known: set[bytes] = set()

    @property
    def notes(self) -> list[str]:
        """See `FixedSequence`."""
        return self._sequence.notes

    def sample(self) -> FloatArray | None:
        """See `Sampler`."""
        while len(points := self._sequence.ask(1).points):
            point: FloatArray = points[0]
            if point.tobytes() not in self._known:
                return point
        return None

    def learn(self, point: FloatArray, fidelity: float, loss: float) -> None:  # noqa: ARG002  the protocol's
        """Records that the point is known; see `Sampler`."""
        self._known.add(point.tobytes())

    def learn_losses(self, point: FloatArray, fidelity: float, losses: Losses) -> None:  # noqa: ARG002  the protocol's
        """Records that the point is known; see `LearnsLosses`."""
        self._known.add(point.tobytes())


def nothing_allowed(space: Space, n: int) -> SpaceError:
    """Returns the error for a space in which none of `n` candidates is allowed."""
    return SpaceError(
        f"{what_excludes(space)} leave practically nothing: none of {n:,} candidates was allowed. {WHAT_TO_DO}"
    )


def what_excludes(space: Space) -> str:
    """Returns what excludes configs from a space, as the subject of a sentence."""
    kinds = ["the forbidden clauses of the space"] if space.forbidden else []
    if space.constraints:
        kinds.append(f"the constraints {', '.join(repr(one.text) for one in space.constraints)}")
    return " and ".join(kinds)


class GridSearch(FixedSequence):
    """All configs once, the last parameter changing fastest. Rows are generated on demand, so a grid takes no memory.

    Raises:
        SpaceError: as `FixedSequence`; or a parameter has infinitely many values.
    """

    def __init__(
        self, space: Space, *, limit: int | None = None, seed: int = 0, points_to_evaluate: Sequence[Config] = ()
    ) -> None:
        self._size = space.grid_size
        self._row = 0
        super().__init__(space, limit=limit, seed=seed, points_to_evaluate=points_to_evaluate)

    def _next_block(self, n: int) -> FloatArray | None:
        space = self._space
        if self._row >= self._size:
            if not self._any_allowed:
                raise nothing_allowed(space, self._size)
            return None
        points = space.grid(self._row, self._row + n)
        self._row += n
        if space.conditions or space.is_restricted:
            points = space.canonical(points[space.allowed(points) & space.is_representative(points)])
        self._any_allowed |= len(points) > 0
        return points[~self._seen.has(space.digests(points))] if len(self._seen) else points


class FixedConfigs:
    """Proposes the rows of `points`, ``(n_configs, n_params)``, at full fidelity."""

    learns: ClassVar[bool] = False

    def __init__(self, space: Space, points: FloatArray) -> None:
        self._space = space
        self._left = points

    @property
    def done(self) -> bool:
        """Whether all have been proposed."""
        return not len(self._left)

    def ask(self, n: int) -> Proposals:
        """Returns the next `n` configs, or all that are left."""
        points, self._left = self._left[:n], self._left[n:]
        return Proposals.at_full_fidelity(points, self._space)

    def tell(self, results: Sequence[Result]) -> None:
        """Does nothing: the configs are given."""
