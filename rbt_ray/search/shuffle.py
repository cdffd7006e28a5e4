"""A random order of range(n), computed a block at a time: no array of n numbers is ever made."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rbt_ray.types import IntArray

_ROUNDS = 6


class Shuffle:
    """A permutation of range(n) that a generator picks.

    Args:
        n: how many there are, at most 2**62.
        rng: picks the permutation.

    Source:
        A Feistel network on the next power of 4, walked until it is back below n: Black and Rogaway (2002), "Ciphers
        with Arbitrary Finite Domains", CT-RSA, 114-130.
    """

    def __init__(self, n: int, rng: np.random.Generator) -> None:
        self._n = n
        self._half = np.uint64(max((n - 1).bit_length() + 1, 2) // 2)
        self._keys = rng.integers(2**64, size=_ROUNDS, dtype=np.uint64)

    def __len__(self) -> int:
        return self._n

    def block(self, start: int, stop: int) -> IntArray:
        """The numbers at positions `start` to `stop` of the order."""
        numbers = self._permuted(np.arange(start, min(stop, self._n), dtype=np.uint64))
        while (outside := numbers >= self._n).any():
            numbers[outside] = self._permuted(numbers[outside])
        return numbers.astype(np.int64)

    def _permuted(self, numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
        left, right = numbers >> self._half, numbers & ((np.uint64(1) << self._half) - np.uint64(1))
        for key in self._keys:
            mixed = (right ^ key) * np.uint64(0x9E3779B97F4A7C15)
            mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0xBF58476D1CE4E5B9)
            left, right = right, left ^ (mixed >> (np.uint64(64) - self._half))
        return (left << self._half) | right
