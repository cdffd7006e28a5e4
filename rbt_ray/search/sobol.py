"""A scrambled Sobol sequence in numpy: the points of `scipy.stats.qmc.Sobol`, without importing scipy for most of a second."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from rbt_ray.types import FloatArray

BITS = 53
"""The bits of a point: as many as those of a float's fraction, so that no point repeats."""

_TABLE = """
    3:1 7:1,3 11:1,3,1 13:1,1,1 19:1,1,3,3 25:1,3,5,13 37:1,1,5,5,17 41:1,1,5,5,5 47:1,1,7,11,19 55:1,1,5,1,1
    59:1,1,1,3,11 61:1,3,5,5,31 67:1,3,3,9,7,49 91:1,1,1,15,21,21 97:1,3,1,13,27,49 103:1,1,1,15,7,5
    109:1,3,1,15,13,25 115:1,1,5,5,19,61 131:1,3,7,11,23,15,103 137:1,3,7,13,13,15,69 143:1,1,3,13,7,35,63
    145:1,3,5,9,1,25,53 157:1,3,1,13,9,35,107 167:1,3,1,5,27,61,31 171:1,1,5,11,19,41,61 185:1,3,5,3,3,13,69
    191:1,1,7,13,1,19,1 193:1,3,7,5,13,19,59 203:1,1,3,9,25,29,41 211:1,3,5,13,23,1,55 213:1,3,7,3,13,59,17
    229:1,3,1,3,5,53,69 239:1,1,5,5,23,33,13 241:1,1,7,7,1,61,123 247:1,1,7,9,13,61,49 253:1,3,3,5,3,55,33
    285:1,3,1,15,31,13,49,245 299:1,3,5,15,31,59,63,97 301:1,3,1,11,11,11,77,249 333:1,3,1,11,27,43,71,9
    351:1,1,7,15,21,11,81,45 355:1,3,7,3,25,31,65,79 357:1,3,1,1,19,11,3,205 361:1,1,5,9,19,21,29,157
    369:1,3,7,11,1,33,89,185 391:1,3,3,3,15,9,79,71 397:1,3,7,11,15,39,119,27 425:1,1,3,1,11,31,97,225
    451:1,1,1,3,23,43,57,177 463:1,3,7,7,17,17,37,71 487:1,3,1,5,27,63,123,213 501:1,1,3,5,11,43,53,133
    529:1,3,5,5,29,17,47,173,479 539:1,3,3,11,3,1,109,9,69 545:1,1,1,5,17,39,23,5,343 557:1,3,1,5,25,15,31,103,499
    563:1,1,1,11,11,17,63,105,183 601:1,1,5,11,9,29,97,231,363 607:1,1,5,15,19,45,41,7,383
    617:1,3,7,7,31,19,83,137,221 623:1,1,1,3,23,15,111,223,83 631:1,1,5,13,31,15,55,25,161
    637:1,1,3,13,25,47,39,87,257
"""
"""For each dimension after the first, a primitive polynomial over GF(2) as a number, and the first direction numbers."""

MOST_PARAMS = 1 + len(_TABLE.split())
"""The number of dimensions in the table."""


class SobolSequence:
    """The points of a Sobol sequence, scrambled by random lower triangular matrices and a random shift.

    Args:
        n_params: the number of dimensions, from 1 to `MOST_PARAMS`.
        rng: a generator that it spawns picks the matrices and the shift, as in scipy.

    Source:
        Joe and Kuo (2008), "Constructing Sobol sequences with better two-dimensional projections", SIAM Journal on
        Scientific Computing 30, 2635-2654; Matousek (1998), "On the L2-discrepancy for anchored boxes", Journal of
        Complexity 14, 527-556.
    """

    def __init__(self, n_params: int, rng: np.random.Generator) -> None:
        (rng,) = rng.spawn(1)
        drawn = rng.integers(2, size=(n_params, BITS), dtype=np.uint64)
        matrices = np.tril(rng.integers(2, size=(n_params, BITS, BITS), dtype=np.uint64))
        matrices[:, range(BITS), range(BITS)] = 1
        powers = np.uint64(1) << np.arange(BITS, dtype=np.uint64)
        self._last = drawn @ powers  # the next point but for one step; the first point is the shift itself
        # Each column of bits, the highest first, is multiplied by the matrix of its dimension over GF(2).
        bits = (_directions()[:n_params, None, :] >> np.arange(BITS, dtype=np.uint64)[::-1, None]) & np.uint64(1)
        self._directions = (((matrices @ bits) & np.uint64(1)) * powers[::-1, None]).sum(axis=1)
        self._n = 0

    def random(self, n: int) -> FloatArray:
        """Returns the next `n` points, ``(n, n_params)`` in [0, 1)."""
        numbers = np.arange(max(self._n, 1), self._n + n, dtype=np.int64)
        # In the order of the Gray code, each point differs from the one before by one direction number.
        lowest_one = np.frexp(numbers & -numbers)[1] - 1
        steps = np.concatenate([self._last[:, None], self._directions[:, lowest_one]], axis=1)
        points: NDArray[np.uint64] = np.bitwise_xor.accumulate(steps, axis=1)
        self._last = points[:, -1]
        self._n += n
        return np.ascontiguousarray(points[:, points.shape[1] - n :].T, np.float64) * 2.0**-BITS


@cache
def _directions() -> NDArray[np.uint64]:
    """Returns all direction numbers, ``(MOST_PARAMS, BITS)``."""
    rows = [[1] * BITS]
    for entry in _TABLE.split():
        polynomial, _, first = entry.partition(":")
        row = [int(number) for number in first.split(",")]
        degree = len(row)
        for place in range(degree, BITS):
            value = row[place - degree]
            for k in range(degree):
                if int(polynomial) >> (degree - 1 - k) & 1:
                    value ^= row[place - k - 1] << (k + 1)
            row.append(value)
        rows.append(row)
    return np.array(rows, np.uint64) << np.arange(BITS, dtype=np.uint64)[::-1]
