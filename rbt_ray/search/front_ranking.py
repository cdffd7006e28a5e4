"""Results by several metrics as models see them: by non-dominated sorting."""

from __future__ import annotations

import math

import numpy as np

from rbt_ray.pareto import best_first, fronts
from rbt_ray.search.encoding import Encoding, Ranking, kept_positions
from rbt_ray.search.scheduler import Losses
from rbt_ray.types import FloatArray, IntArray

_RANKED_SHARE, _LEAST_RANKED = 0.2, 50
"""How many results get their own front: at least as many as models count as good."""


class FrontRanking(Ranking):
    """Points by the Pareto front of their losses, and within a front those in empty regions first.

    The loss of a point that completed is the number of its front: 0 if no other one dominates it. Infeasible points follow by
    violation, and those that did not complete come last.

    Args:
        encoding: how points are stored.
        most: the maximum number of results that it keeps; None: all.
    """

    def __init__(self, encoding: Encoding, most: int | None = None) -> None:
        super().__init__(encoding, most)
        self._points: list[FloatArray] = []
        self._ranks: list[Losses | float] = []
        self._is_sorted = True

    def add(self, point: FloatArray, loss: Losses | float) -> None:
        """Adds a result.

        Args:
            point: ``(n_params,)``.
            loss: the losses; for a trial that is infeasible or did not complete, a number above 1e300.
        """
        self._points.append(point)
        self._ranks.append(loss)
        self._is_sorted = False
        self.n_added += 1
        self.n_completed += isinstance(loss, tuple) or math.isfinite(loss)

    def _insert(self) -> None:
        if self._is_sorted:
            return
        self._is_sorted = True
        several = [row for row, rank in enumerate(self._ranks) if isinstance(rank, tuple)]
        behind = [row for row, rank in enumerate(self._ranks) if not isinstance(rank, tuple)]
        behind.sort(key=self._ranks.__getitem__)
        order, front = _by_front(np.array([self._ranks[row] for row in several], np.float64))
        rows = [several[row] for row in order.tolist()] + behind
        self._losses = np.concatenate([front, np.array([self._ranks[row] for row in behind], np.float64)])
        if self._most is not None and len(rows) > self._most:
            kept = kept_positions(len(rows), self._most)
            rows, self._losses = [rows[at] for at in kept.tolist()], self._losses[kept]
            self._points, self._ranks = [self._points[row] for row in rows], [self._ranks[row] for row in rows]
            rows = list(range(len(rows)))
        self._levels = self._encoding.encode(np.array([self._points[row] for row in rows])).T


def _by_front(losses: FloatArray) -> tuple[IntArray, FloatArray]:
    """Returns the rows of ``(n, n_metrics)`` losses, best first, and the number of the front of each of these rows."""
    n = max(_LEAST_RANKED, math.ceil(_RANKED_SHARE * len(losses)))
    best = best_first(losses, n)
    order = np.concatenate([best, np.setdiff1d(np.arange(len(losses)), best)])
    return order, fronts(losses, n)[order].astype(np.float64)
