"""The table of block sums that sweep kernels fill: sums of returns over the blocks of `rbt_ray.block_sums`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rbt_ray.block_sums import block_ends
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
    def of(cls, benchmark: FloatArray | None, ends: IntArray | None, n_rows: int) -> BlockTable:
        """Returns the sums before the first bar, of 16 blocks if `ends` is None; an empty table if `benchmark` is None."""
        if benchmark is None:
            return cls(np.empty(0, np.int64), np.empty(0), np.empty(0))
        ends = block_ends(len(benchmark)) if ends is None else ends
        return cls(ends, np.ascontiguousarray(benchmark, np.float64), aligned(3 * len(ends) * n_rows))

    def rows(self, n: int) -> FloatArray:
        """Returns ``(n, 3 * n_blocks)`` the sums of the first `n` configs."""
        return self.sums.reshape(3 * len(self.ends), -1)[:, :n].T
