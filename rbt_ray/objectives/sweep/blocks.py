"""The table of block sums that sweep kernels fill: sums of returns over the blocks of `rbt_ray.block_sums`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rbt_ray.block_sums import N_BLOCKS, N_SUMS, block_lengths
from rbt_ray.objectives.sweep.layout import aligned
from rbt_ray.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class BlockTable:
    """The block sums of the configs of a sweep, which kernels advance with their other statistics.

    Args:
        ends: ``(n_blocks,)`` the bar after the last one of each block; empty if no block sums are wanted.
        benchmark: ``(n_bars,)`` returns of the benchmark; empty likewise.
        sums: ``(3 * n_blocks, n_configs)`` flat: sums of returns, of their squares, of their products with the benchmark.
    """

    ends: IntArray
    benchmark: FloatArray
    sums: FloatArray

    @classmethod
    def of(cls, benchmark: FloatArray | None, n_rows: int) -> BlockTable:
        """Returns the sums before the first bar; an empty table if `benchmark` is None."""
        if benchmark is None:
            return cls(np.empty(0, np.int64), np.empty(0), np.empty(0))
        ends = np.cumsum(block_lengths(len(benchmark), N_BLOCKS))
        return cls(ends, np.ascontiguousarray(benchmark, np.float64), aligned(N_SUMS * n_rows))

    def rows(self, n: int) -> FloatArray:
        """Returns ``(n, 48)`` the sums of the first `n` configs."""
        return self.sums.reshape(N_SUMS, -1)[:, :n].T
