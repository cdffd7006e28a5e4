"""Results at one fidelity, sorted by loss."""

from __future__ import annotations

import math

import numpy as np

from rbt_ray.search.encoding import Encoding
from rbt_ray.types import FloatArray


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

    def add(self, point: FloatArray, loss: float) -> None:
        """Adds a result; `loss` is inf if the trial did not complete."""
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
