"""The statistics that a sweep's kernel advances, and which of them are used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rbt_ray.objectives.sweep.blocks import BlockTable
from rbt_ray.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """The statistics of configs that are processed together; kernels change them in place.

    Args:
        n_rows: number of configs, a multiple of 8.
        moments: whether to update the third and fourth moments and the downside.
        positions: whether the numbers of bars held, of fills and of round trips are used.
        turnover: whether the traded value is used.
        state: the statistics before the first bar, see `statistics.STATE`; with several segments, of any value.
        segments: ``(n_segments,)`` the bar after the last one of each segment.
        blocks: the block sums.
    """

    n_rows: int
    moments: bool
    positions: bool
    turnover: bool
    state: FloatArray
    segments: IntArray
    blocks: BlockTable

    @property
    def of_blocks(self) -> tuple[np.ndarray[tuple[int], np.dtype[np.uint8]], IntArray, FloatArray, FloatArray]:
        """The block sums as kernels take them."""
        return self.blocks.wanted, self.blocks.ends, self.blocks.benchmark, self.blocks.sums
