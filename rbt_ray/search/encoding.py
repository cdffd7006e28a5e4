"""Points as models see them: numbers in the unit interval, options as positions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from rbt_ray.study.choices import Choice
from rbt_ray.study.space import Space
from rbt_ray.types import BoolArray, FloatArray, IntArray


class Encoding:
    """Encodes points of a space for a model, and decodes them.

    A number, or an option of an ordered choice, becomes its level within [0, 1), on which its domain is uniform. Any other
    option becomes its position. Parameters with a single value are left out. NaN stays NaN.

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
