"""The table of block sums that sweep kernels fill: sums of returns over the blocks of `rbt_ray.block_sums`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rbt_ray.objectives.sweep.layout import WIDTH, aligned
from rbt_ray.types import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from rbt_ray.objectives.blocks import BlockRequest


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
    def of(cls, request: BlockRequest | None, wanted: BoolArray) -> BlockTable:
        """Returns the sums before the first bar.

        Args:
            request: the blocks and the benchmark; None if no config is wanted.
            wanted: ``(n_configs,)`` whether the sums of each config are wanted.
        """
        groups = np.asarray(wanted.reshape(-1, WIDTH).any(axis=1), np.uint8)
        if request is None:
            return cls(groups, np.empty(0, np.int64), np.empty(0), np.empty(0))
        ends = np.asarray(request.ends, np.int64)
        benchmark = np.ascontiguousarray(request.benchmark, np.float64)
        return cls(groups, ends, benchmark, aligned(3 * len(ends) * (len(wanted) + WIDTH)))

    def rows(self, configs: IntArray) -> FloatArray:
        """Returns ``(n, 3 * n_blocks)`` the sums of these configs."""
        rows: FloatArray = self.sums.reshape(3 * len(self.ends), -1).T[configs]
        return rows
