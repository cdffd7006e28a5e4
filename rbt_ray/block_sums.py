"""Sums of a trial's returns over the blocks of the training bars, from which statistics of any set of blocks follow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from rbt_ray import recordable
from rbt_ray.recordable import require
from rbt_ray.types import BoolArray, FloatArray, IntArray

N_BLOCKS = 16
N_SUMS = 3 * N_BLOCKS
"""Numbers per trial in records: the sums of all blocks, then the sums of squares, then those of products."""
N_WITH_GROWTH = 4 * N_BLOCKS
"""The same where the growth is recorded, which comes last: the product of `1 + r` over each block, minus 1."""
OF_GROWTH = frozenset({"total_return", "cagr"})
"""The metrics of a study for which the growth is recorded: it ranks trials by them on any blocks."""


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

    @classmethod
    def of_rows(cls, trials: IntArray, values: FloatArray) -> BlockSums:
        """Returns the block sums of trials from rows of records, ``(n_trials, 48)`` or more."""
        return cls(trials, values[:, :N_BLOCKS], values[:, N_BLOCKS : 2 * N_BLOCKS], values[:, 2 * N_BLOCKS : N_SUMS])

    def rows(self) -> FloatArray:
        """Returns ``(n_trials, 48)`` the rows of records that `of_rows` takes."""
        return np.concatenate([self.sums, self.squares, self.products], axis=1)

    def __len__(self) -> int:
        return len(self.trials)


def block_lengths(n_bars: int, n_blocks: int = N_BLOCKS) -> IntArray:
    """Returns ``(n_blocks,)`` the lengths of the blocks that `numpy.array_split` cuts `n_bars` bars into."""
    shorter, n_longer = divmod(n_bars, n_blocks)
    return np.full(n_blocks, shorter) + (np.arange(n_blocks) < n_longer)


def block_ends(n_bars: int, n_blocks: int = N_BLOCKS) -> IntArray:
    """Returns ``(n_blocks,)`` the bar after the last one of each block."""
    return np.cumsum(block_lengths(n_bars, n_blocks))


def sums_of(
    returns: FloatArray, benchmark: FloatArray, ends: IntArray | None = None, growth: bool = False
) -> FloatArray:
    """Returns ``(3 * n_blocks,)`` the sums of one trial, as records have them, or ``(4 * n_blocks,)`` with the growth.

    The same returns give the same bits in any batch.

    Args:
        returns: ``(n_bars,)`` simple returns per bar, at least one bar for each block.
        benchmark: ``(n_bars,)`` returns of the benchmark.
        ends: ``(n_blocks,)`` the bar after the last one of each block; None: 16 blocks.
        growth: whether to append the growth over each block.
    """
    ends = block_ends(len(returns)) if ends is None else ends
    starts = np.concatenate([[0], ends[:-1]])
    columns = np.stack([returns, returns * returns, returns * benchmark])
    sums: FloatArray = np.add.reduceat(columns, starts, axis=1).ravel()
    return np.concatenate([sums, np.multiply.reduceat(1.0 + returns, starts) - 1.0]) if growth else sums


@dataclass(frozen=True, slots=True, eq=False)
class BlockRows:
    """Block sums of some rows of a batch or of a table, as they are sent and recorded.

    Args:
        rows: ``(n_rows,)`` positions in the batch, increasing.
        values: ``(n_rows, 48)`` the sums of each row, all finite; ``(n_rows, 64)`` with the growth.
    """

    rows: IntArray
    values: FloatArray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def growth(self) -> FloatArray | None:
        """``(n_rows, 16)`` the product of `1 + r` over each block, minus 1; None if it is not recorded."""
        return self.values[:, N_SUMS:] if self.values.shape[1] == N_WITH_GROWTH else None

    @classmethod
    def finite(cls, rows: IntArray, values: FloatArray) -> BlockRows | None:
        """Returns the rows whose sums are all finite; None if there are none. Squares of huge returns are not finite."""
        kept = np.isfinite(values).all(axis=1)
        return cls(rows[kept], values[kept]) if kept.any() else None

    def only(self, keep: BoolArray) -> BlockRows | None:
        """Returns the rows for which ``keep``, ``(n,)`` by row of the batch, is True; None if there are none."""
        kept = keep[self.rows]
        if kept.all():
            return self
        return BlockRows(self.rows[kept], self.values[kept]) if kept.any() else None

    def recordable(self, n: int) -> BlockRows:
        """Returns the block sums of a batch of `n` trials in recordable form.

        Raises:
            ValueError: a part has another type or shape, a row is not of the batch or not in order, or a sum is not finite.
        """
        rows = recordable.array(self.rows, np.int64, np.shape(self.rows)[:1], "block_sums")
        require(0 < len(rows) <= n, "block_sums", len(rows))
        require(int(rows[0]) >= 0 and int(rows[-1]) < n and bool((np.diff(rows) > 0).all()), "block_sums", rows)
        width = N_WITH_GROWTH if np.shape(self.values)[1:] == (N_WITH_GROWTH,) else N_SUMS
        values = recordable.array(self.values, np.float64, (len(rows), width), "block_sums")
        require(bool(np.isfinite(values).all()), "block_sums", values)
        return BlockRows(rows, values)

    @classmethod
    def join(cls, parts: Iterable[tuple[BlockRows | None, IntArray]]) -> BlockRows | None:
        """Returns the block sums of several batches; each comes with the positions of its rows in the whole.

        The growth is left out unless all have it: earlier versions recorded none.
        """
        found = [(positions[part.rows], part.values) for part, positions in parts if part is not None]
        if not found:
            return None
        rows = np.concatenate([rows for rows, _ in found])
        order, width = np.argsort(rows), min(values.shape[1] for _, values in found)
        return cls(rows[order], np.concatenate([values[:, :width] for _, values in found])[order])
