"""Results as models see them: points as numbers in the unit interval and positions of options, ranked by loss."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from rbt_ray.search.scheduler import Losses
from rbt_ray.study.domains import Choice
from rbt_ray.study.space import Space
from rbt_ray.types import BoolArray, FloatArray, IntArray

MOST_RESULTS = 2048
"""How many results a model keeps in a new study."""
_BEST_SHARE = 4  # a fourth of the kept results are the best ones: more than a model counts as good


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

    With a bound, the cost of a model does not grow with a study. When there are more results, it keeps the best ones, as many as
    a fourth of the bound, and every second of the others, by loss. Of the others, recent results thus have the larger share.

    Args:
        encoding: how points are stored.
        most: the maximum number of results that it keeps; None: all.

    Attributes:
        n_added: how many results were added, including those that it did not keep.
        n_completed: how many of them completed.
    """

    def __init__(self, encoding: Encoding, most: int | None = None) -> None:
        self._encoding, self._most = encoding, most
        self._new: list[tuple[FloatArray, float]] = []
        self._levels = np.empty((encoding.n_params, 0))
        self._losses = np.empty(0)
        self.n_added = self.n_completed = 0

    def __len__(self) -> int:
        """Returns how many results it holds."""
        self._insert()
        return len(self._losses)

    def add(self, point: FloatArray, loss: Losses | float) -> None:
        """Adds a result; `loss` is inf if the trial did not complete. For several losses see `FrontRanking`."""
        assert not isinstance(loss, tuple)
        self._new.append((point, loss))
        self.n_added += 1
        self.n_completed += math.isfinite(loss)

    @property
    def levels(self) -> FloatArray:
        """``(n, n_params)`` the encoded points, best first, in Fortran order; valid until the next `add`."""
        self._insert()
        return self._levels.T

    @property
    def losses(self) -> FloatArray:
        """``(n,)`` the losses of these points, best first; valid until the next `add`."""
        self._insert()
        return self._losses

    def _insert(self) -> None:
        if not self._new:
            return
        new = self._encoding.encode(np.array([point for point, _ in self._new])).T
        levels = np.concatenate([self._levels, new], axis=1)
        losses = np.append(self._losses, [loss for _, loss in self._new])
        order = np.argsort(losses, kind="stable")
        if self._most is not None and len(order) > self._most:
            order = order[kept_positions(len(order), self._most)]
        self._levels, self._losses = np.take(levels, order, axis=1), losses[order]
        self._new.clear()


def kept_positions(n: int, most: int) -> IntArray:
    """Returns which of `n` ranked results to keep, at most `most`: the best, and an even share of the others."""
    n_best, kept = most // _BEST_SHARE, np.arange(n)
    while len(kept) > most:
        kept = np.concatenate([kept[:n_best], kept[n_best::2]])
    return kept
