"""When a search around one good corner has nothing more to give."""

from __future__ import annotations

import math

_LEAST = 50


class StagnationRule:
    """Ends when as many results in a row as it took to come to the best one, and at least 50, have brought no better.

    How long a search still finds something is known by how long it found something: twice that, and it is given up. So a
    search that goes on getting better, however slowly, is left alone, and what is spent in vain is at most about what was
    spent well. Nothing has to be known of how much may be spent in all.
    """

    def __init__(self) -> None:
        self._best, self._n, self._n_at_best = math.inf, 0, 0

    def add_known(self, loss: float) -> None:
        """A result that the search did not find itself: it is to be beaten, and took no time."""
        self._best = min(self._best, loss)

    def stagnates_after(self, loss: float) -> bool:
        """Whether it has ended with this result; `loss` is inf where it did not complete."""
        self._n += 1
        if loss < self._best:
            self._best, self._n_at_best = loss, self._n
        return self._n - self._n_at_best >= max(_LEAST, self._n_at_best)
