"""Sums of a trial's returns over the blocks of the training bars, from which statistics of any set of blocks follow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from rbt_ray.types import FloatArray, IntArray

N_BLOCKS = 16


@dataclass(frozen=True, slots=True, eq=False)
class Benchmark:
    """The returns per bar that trials are compared with, as sums over blocks of consecutive bars.

    Args:
        lengths: ``(n_blocks,)`` bars per block.
        sums: ``(n_blocks,)`` sums of the benchmark's simple returns.
        squares: ``(n_blocks,)`` sums of their squares.
        periods_per_year: bars per year.
    """

    lengths: IntArray
    sums: FloatArray
    squares: FloatArray
    periods_per_year: float

    @classmethod
    def of(cls, returns: ArrayLike, periods_per_year: float, n_blocks: int = N_BLOCKS) -> Benchmark:
        """Returns the sums of ``(n_bars,)`` returns, with blocks as `numpy.array_split` cuts them."""
        blocks = np.array_split(np.asarray(returns, np.float64), n_blocks)
        return cls(
            np.array([len(block) for block in blocks]),
            np.array([block.sum() for block in blocks]),
            np.array([(block * block).sum() for block in blocks]),
            periods_per_year,
        )


@dataclass(frozen=True, slots=True, eq=False)
class BlockSums:
    """Sums over blocks for some of a study's trials.

    Args:
        trials: ``(n_trials,)`` numbers of the trials, increasing.
        sums: ``(n_trials, n_blocks)`` sums of the trial's simple returns per bar.
        squares: ``(n_trials, n_blocks)`` sums of their squares.
        products: ``(n_trials, n_blocks)`` sums of the trial's returns times the benchmark's.
    """

    trials: IntArray
    sums: FloatArray
    squares: FloatArray
    products: FloatArray

    def __post_init__(self) -> None:
        # The order in which numpy adds a row depends on the layout of the memory, and with it the last bits of sums.
        for name in ("sums", "squares", "products"):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), np.float64))

    @classmethod
    def of(cls, returns: ArrayLike, benchmark: ArrayLike, n_blocks: int = N_BLOCKS) -> BlockSums:
        """Returns the sums of ``(n_bars, n_trials)`` returns beside a ``(n_bars,)`` benchmark; trials are 0, 1, ..."""
        table, beside = np.asarray(returns, np.float64), np.asarray(benchmark, np.float64)
        parts = np.array_split(np.arange(len(table)), n_blocks)
        return cls(
            np.arange(table.shape[1]),
            np.array([table[part].sum(axis=0) for part in parts]).T,
            np.array([(table[part] ** 2).sum(axis=0) for part in parts]).T,
            np.array([(table[part] * beside[part, None]).sum(axis=0) for part in parts]).T,
        )

    def __len__(self) -> int:
        return len(self.trials)
