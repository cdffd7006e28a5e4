"""The result of a permutation test: the best value of a search beside those it finds in prices without a pattern."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rbt_ray.types import FloatArray, Mode


@dataclass(frozen=True, slots=True, eq=False)
class PermutationTest:
    """The best value of a search on the prices, and on prices whose bars are in random order.

    Args:
        metric: of the study.
        mode: whether a higher or a lower value is better.
        best: the best value on the prices.
        null: ``(n,)`` the best value on each random order; NaN if no config had one.
    """

    metric: str
    mode: Mode
    best: float
    null: FloatArray

    @property
    def p_value(self) -> float:
        """The share of searches, this one included, that found at least so good a value.

        Source:
            Phipson and Smyth (2010), "Permutation P-values Should Never Be Zero", Statistical Applications in Genetics and
            Molecular Biology 9(1), article 39.
        """
        reached = self.null >= self.best if self.mode == "max" else self.null <= self.best
        return float((1 + np.count_nonzero(reached)) / (1 + len(self.null)))

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as JSON values; NaN becomes None."""
        null = [value if np.isfinite(value) else None for value in self.null.tolist()]
        return {"metric": self.metric, "mode": self.mode, "best": self.best, "p_value": self.p_value, "null": null}
