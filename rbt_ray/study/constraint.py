"""A constraint on the parameters of a config or on the metrics of its trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rbt_ray.study.constraint_nodes import MIRRORED, Column, Columns, Comparison, Condition, Operator, names_in
from rbt_ray.types import BoolArray, FloatArray

_ONLY_BOUNDS: Mapping[str, tuple[Operator, ...]] = {
    "max_drawdown": (">", ">="),
    "n_fills": ("<", "<="),
    "n_trades": ("<", "<="),
}
"""Metrics of a Backtest that only fall, or only rise, with every further bar, and the bounds they cannot return to."""


@dataclass(frozen=True)
class Constraint:
    """A condition that must be true.

    Args:
        text: the expression, as messages show it and studies record it.
        condition: the parsed expression.
        parameters: the names of the parameters in it.
        metrics: the names of the metrics in it, in order of appearance.
    """

    text: str
    condition: Condition
    parameters: frozenset[str]
    metrics: tuple[str, ...]

    def satisfied(self, columns: Columns) -> BoolArray:
        """Returns ``(n,)`` where it is true, or undefined because a parameter in it is inactive."""
        with np.errstate(all="ignore"):
            true, false = self.condition.truth(columns)
        return true | (~false & self._has_inactive(columns))

    def violation(self, columns: Columns) -> FloatArray:
        """Returns ``(n,)`` 0 where it is satisfied, else a number above 0 and at most 1 that says how far from it."""
        satisfied = self.satisfied(columns)
        with np.errstate(all="ignore"):
            return np.where(satisfied, 0.0, self.condition.violation(columns))

    def broken(self, columns: Columns) -> BoolArray:
        """Returns ``(n,)`` where it is false; an undefined one is not."""
        with np.errstate(all="ignore"):
            return self.condition.truth(columns).false

    @property
    def stays_broken(self) -> bool:
        """Whether a trial that breaks it on the first bars breaks it on all: a bound on a metric that only falls or rises."""
        found = self.condition
        if not isinstance(found, Comparison):
            return False
        for side, other, op in ((found.left, found.right, found.op), (found.right, found.left, MIRRORED[found.op])):
            if isinstance(side, Column) and side.name in self.metrics and op in _ONLY_BOUNDS.get(side.name, ()):
                return not set(self.metrics) & set(names_in(other))
        return False

    def _has_inactive(self, columns: Columns) -> BoolArray:
        inactive = [np.isnan(columns[name]) for name in sorted(self.parameters)]
        return np.logical_or.reduce(inactive) if inactive else np.array(False)
