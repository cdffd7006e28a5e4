"""The table of block sums that sweep kernels fill: sums of returns over the blocks of `rbt_ray.block_sums`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rbt_ray.objectives.sweep.layout import WIDTH
from rbt_ray.objectives.sweep.scratch import scratch
from rbt_ray.types import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from rbt_ray.objectives.blocks import BlockRequest

_AT_ONCE = 256
"""Configs whose sums are copied at a time: their copy stays in the cache."""


@dataclass(frozen=True, slots=True, eq=False)
class BlockTable:
    """The block sums of the configs of a sweep, which kernels advance with their other statistics.

    Args:
        wanted: ``(n_configs / 8,)`` 1 for eight configs of which any is wanted, else 0.
        ends: ``(n_blocks,)`` the bar after the last one of each block.
        benchmark: ``(n_bars,)`` returns of the benchmark; empty if no config is wanted, as `ends` and `sums`.
        sums: ``(3 * n_blocks, n_configs + 8)`` flat: sums of returns, of their squares, of their products with the
            benchmark; 0 where not wanted. Without the last 8 columns, the sums of a config would be at addresses that share
            one set of the cache. If the growth is wanted, ``4 * n_blocks``: the last are the equity at the end of each block.
    """

    wanted: NDArray[np.uint8]
    ends: IntArray
    benchmark: FloatArray
    sums: FloatArray

    @classmethod
    def of(cls, request: BlockRequest | None, wanted: BoolArray) -> BlockTable:
        """Returns the sums before the first bar. It must not be used after the next call in the same thread.

        Args:
            request: the blocks and the benchmark; None if no config is wanted.
            wanted: ``(n_configs,)`` whether the sums of each config are wanted.
        """
        groups = np.asarray(wanted.reshape(-1, WIDTH).any(axis=1), np.uint8)
        if request is None:
            return cls(groups, np.empty(0, np.int64), np.empty(0), np.empty(0))
        ends = np.asarray(request.ends, np.int64)
        benchmark = np.ascontiguousarray(request.benchmark, np.float64)
        sums = scratch("block_sums", request.width * (len(wanted) + WIDTH))
        sums.fill(0.0)
        return cls(groups, ends, benchmark, sums)

    def write(self, configs: IntArray, to: FloatArray, rows: IntArray) -> None:
        """Writes the sums of `configs` to `rows` of `to`, ``(n, BlockRequest.width)``."""
        table = self.sums.reshape(to.shape[1], -1)
        for start in range(0, len(configs), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            to[rows[part]] = table[:, configs[part]].T
        if to.shape[1] > 3 * len(self.ends):
            equity = to[rows, 3 * len(self.ends) :]
            before = np.concatenate([np.ones((len(rows), 1)), equity[:, :-1]], axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):  # without equity, the sums are those of the backtest
                to[rows, 3 * len(self.ends) :] = equity / before - 1.0
