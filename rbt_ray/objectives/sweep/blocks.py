"""The table of block sums that sweep kernels fill: sums of returns over the blocks of `rbt_ray.block_sums`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rbt_ray.block_sums import N_BLOCKS, N_SUMS, block_lengths
from rbt_ray.objectives.sweep.layout import WIDTH, aligned
from rbt_ray.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class BlockTable:
    """The block sums of the configs of a sweep, which kernels advance with their other statistics.

    Args:
        wanted: ``(n_configs / 8,)`` 1 for eight configs of which any is wanted, else 0.
        ends: ``(n_blocks,)`` the bar after the last one of each block.
        benchmark: ``(n_bars,)`` returns of the benchmark; empty if no config is wanted, as `ends` and `sums`.
        sums: ``(3 * n_blocks, n_configs + 8)`` flat: sums of returns, of their squares, of their products with the
            benchmark; 0 where not wanted. Without the last 8 columns, the sums of a config would be at addresses that share
            one set of the cache.
    """

    wanted: NDArray[np.uint8]
    ends: IntArray
    benchmark: FloatArray
    sums: FloatArray

    @classmethod
    def of(cls, benchmark: FloatArray | None, wanted: BoolArray) -> BlockTable:
        """Returns the sums before the first bar.

        Args:
            benchmark: ``(n_bars,)``; None if no config is wanted.
            wanted: ``(n_configs,)`` whether the sums of each config are wanted.
        """
        groups = np.asarray(wanted.reshape(-1, WIDTH).any(axis=1), np.uint8)
        if benchmark is None:
            return cls(groups, np.empty(0, np.int64), np.empty(0), np.empty(0))
        ends = np.cumsum(block_lengths(len(benchmark), N_BLOCKS))
        return cls(groups, ends, np.ascontiguousarray(benchmark, np.float64), aligned(N_SUMS * (len(wanted) + WIDTH)))

    def rows(self, configs: IntArray) -> FloatArray:
        """Returns ``(n, 48)`` the sums of these configs."""
        rows: FloatArray = self.sums.reshape(N_SUMS, -1).T[configs]
        return rows
