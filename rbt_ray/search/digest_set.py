"""A set of the configs that were proposed, at 8 bytes each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rbt_ray.types import BoolArray


class DigestSet:
    """A growing set of 64-bit digests: sorted arrays, each more than twice as long as the next.

    Adding a block takes O(log) passes over it, and each digest moves O(log) times in all. Two configs share a digest with
    probability 2**-64: one in a million studies of a million configs mistakes a new config for a known one.
    """

    def __init__(self) -> None:
        self._runs: list[NDArray[np.uint64]] = []

    def __len__(self) -> int:
        return sum(len(run) for run in self._runs)

    @property
    def nbytes(self) -> int:
        """The memory of the set, in bytes."""
        return sum(run.nbytes for run in self._runs)

    def has(self, digests: NDArray[np.uint64]) -> BoolArray:
        """Returns ``(n,)`` which of the digests are in the set."""
        found = np.zeros(len(digests), dtype=bool)
        for run in self._runs:
            at = np.searchsorted(run, digests)
            at[at == len(run)] = 0
            found |= run[at] == digests
        return found

    def add(self, digests: NDArray[np.uint64]) -> BoolArray:
        """Adds digests; returns ``(n,)`` which were new. Of repeats within the batch, only the first is new."""
        different, first = np.unique(digests, return_index=True)
        unseen = ~self.has(different)
        new = np.zeros(len(digests), dtype=bool)
        new[first[unseen]] = True
        if unseen.any():
            self._runs.append(different[unseen])
        while len(self._runs) > 1 and len(self._runs[-2]) <= 2 * len(self._runs[-1]):
            last = self._runs.pop()
            self._runs[-1] = np.sort(np.concatenate([self._runs[-1], last]), kind="stable")
        return new
