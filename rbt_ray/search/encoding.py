"""Results as models see them: points as numbers in the unit interval and positions of options, ranked by loss."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from rbt_ray.search.scheduler import Losses
from rbt_ray.study.domains import Choice
from rbt_ray.study.space import Space
from rbt_ray.types import BoolArray, FloatArray, IntArray


class Encoding:
    """Encodes points of a space for a model, and decodes them.

    A number, or an option of an ordered choice, becomes a level in [0, 1): the share of its domain below it. Any other option
    becomes its position. Parameters with a single value are left out. NaN stays NaN.

    Args:
        space: the space to search.
        ordered: whether a choice among ascending or descending numbers counts as ordered; an ordinal one always does.

    Attributes:
        n_params: how many parameters are encoded.
        n_options: ``(n_params,)`` how many options an unordered choice has; 0 for other parameters.
        kinds: one letter for each parameter, as `Density` takes them: "u" for an unordered choice, else "c".
    """

    def __init__(self, space: Space, *, ordered: bool) -> None:
        self._space = space
        self._columns = [column for column, domain in enumerate(space.domains) if domain.n_values != 1]
        self._domains = [space.domains[column] for column in self._columns]
        self.n_params = len(self._columns)
        self.n_options: IntArray = np.array(
            [
                len(domain.options) if isinstance(domain, Choice) and not _is_ordered(domain, ordered) else 0
                for domain in self._domains
            ],
            dtype=np.int64,
        )
        self.kinds = "".join("u" if n else "c" for n in self.n_options)
        # holds the value of each parameter with a single value
        self._template = space.from_unit(np.full((1, space.n_params), 0.5))

    def encode(self, points: FloatArray) -> FloatArray:
        """Returns the levels of points, ``(n, n_params)``, in Fortran order."""
        levels = np.empty((self.n_params, len(points)))
        for row, (column, domain) in enumerate(zip(self._columns, self._domains, strict=True)):
            values = points[:, column]
            levels[row] = values if self.n_options[row] else domain.to_unit(values)
        return levels.T

    def decode(self, levels: FloatArray) -> FloatArray:
        """Returns the canonical points at levels."""
        points = np.repeat(self._template, len(levels), axis=0)
        for row, (column, domain) in enumerate(zip(self._columns, self._domains, strict=True)):
            values = levels[:, row]
            points[:, column] = values if self.n_options[row] else domain.from_unit(values)
        return self._space.canonical(points)

    def active(self, levels: FloatArray) -> BoolArray:
        """Returns ``(n, n_params)`` which parameters are active in points at levels."""
        there: BoolArray = ~np.isnan(self.decode(levels)[:, self._columns])
        return there


def _is_ordered(choice: Choice, numbers_too: bool) -> bool:
    if choice.word == "ordinal":
        return True
    options = choice.options
    if not numbers_too or not all(
        isinstance(option, (int, float)) and not isinstance(option, bool) for option in options
    ):
        return False
    steps = [after - before for before, after in pairwise(options)]
    return all(step > 0 for step in steps) or all(step < 0 for step in steps)


class Ranking:
    """Points with their losses, best first: those that did not complete come last, equal ones in order of arrival.

    Args:
        encoding: how points are stored.
    """

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._new: list[tuple[FloatArray, float]] = []
        self._levels = np.empty((encoding.n_params, 16))
        self._losses = np.empty(16)
        self._sorted = 0
        self.n_completed = 0

    def __len__(self) -> int:
        return self._sorted + len(self._new)

    def add(self, point: FloatArray, loss: Losses | float) -> None:
        """Adds a result; `loss` is inf if the trial did not complete. For several losses see `FrontRanking`."""
        assert not isinstance(loss, tuple)
        self._new.append((point, loss))
        self.n_completed += math.isfinite(loss)

    @property
    def levels(self) -> FloatArray:
        """``(n, n_params)`` the encoded points, best first, in Fortran order; valid until the next `add`."""
        self._insert()
        return self._levels[:, : self._sorted].T

    @property
    def losses(self) -> FloatArray:
        """``(n,)`` the losses of all points, best first; valid until the next `add`."""
        self._insert()
        return self._losses[: self._sorted]

    def _insert(self) -> None:
        if not self._new:
            return
        levels = self._encoding.encode(np.array([point for point, _ in self._new]))
        for level, (_, loss) in zip(levels, self._new, strict=True):
            n = self._sorted
            if n == len(self._losses):
                self._levels = np.concatenate([self._levels, np.empty_like(self._levels)], axis=1)
                self._losses = np.concatenate([self._losses, np.empty_like(self._losses)])
            at = int(np.searchsorted(self._losses[:n], loss, side="right"))
            self._levels[:, at + 1 : n + 1] = self._levels[:, at:n]
            self._losses[at + 1 : n + 1] = self._losses[at:n]
            self._levels[:, at], self._losses[at] = level, loss
            self._sorted += 1
        self._new.clear()
