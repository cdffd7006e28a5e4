"""When a search around a local optimum has stagnated."""

from __future__ import annotations

import math

_LEAST = 50


class StagnationRule:
    """Detects stagnation: no better result for as many results as it took to find the best one, and for at least 50.

    A search that keeps improving, however slowly, does not stagnate, and at most about half of the results are spent in
    vain. The rule does not depend on the size of the whole search.
    """

    def __init__(self) -> None:
        self._best, self._n, self._n_at_best = math.inf, 0, 0

    def add_known(self, loss: float) -> None:
        """Records a result that the search did not find itself; it must be beaten, and does not count."""
        self._best = min(self._best, loss)

    def stagnates_after(self, loss: float) -> bool:
        """Records a result and returns whether the search has stagnated; `loss` is inf if the trial did not complete."""
        self._n += 1
        if loss < self._best:
            self._best, self._n_at_best = loss, self._n
        return self._n - self._n_at_best >= max(_LEAST, self._n_at_best)
