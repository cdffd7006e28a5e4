"""BlockRequest: for which trials of a batch an evaluator computes block sums, and beside which benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rbt_ray.block_sums import N_BLOCKS, BlockRows, block_ends, sums_of
from rbt_ray.objectives.returned_metrics import returns_of
from rbt_ray.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class BlockRequest:
    """A request for the block sums of some trials of a batch at full fidelity.

    Args:
        rows: ``(n_rows,)`` rows of the batch, increasing, at least one.
        benchmark: ``(n_bars,)`` returns of the benchmark on the bars of the batch.
        ends: ``(n_blocks,)`` the bar after the last one of each block, increasing; the last is `n_bars`.
        growth: whether the growth over each block is wanted too.
    """

    rows: IntArray
    benchmark: FloatArray
    ends: IntArray
    growth: bool = False

    @classmethod
    def of(cls, rows: IntArray, benchmark: FloatArray, growth: bool = False) -> BlockRequest | None:
        """Returns the request for 16 blocks; None without rows, or with fewer bars than blocks."""
        enough = len(rows) and len(benchmark) >= N_BLOCKS
        return cls(rows, benchmark, block_ends(len(benchmark)), growth) if enough else None

    @property
    def width(self) -> int:
        """How many numbers a row has."""
        return (4 if self.growth else 3) * len(self.ends)

    def part(self, start: int, stop: int) -> BlockRequest | None:
        """Returns the request for the rows from `start` up to `stop` of the batch, as a batch of their own."""
        inside = self.rows[(self.rows >= start) & (self.rows < stop)]
        return replace(self, rows=inside - start) if len(inside) else None

    def sums(self, answer: Any) -> FloatArray | None:
        """Returns ``(width,)`` the block sums of what an objective returned; None if that has no returns per bar.

        Raises:
            ObjectiveResultError: its `returns` are not one for each bar.
        """
        returns = returns_of(answer, len(self.benchmark))
        return None if returns is None else self.sums_of(returns)

    def sums_of(self, returns: FloatArray) -> FloatArray:
        """Returns ``(width,)`` the block sums of ``(n_bars,)`` returns."""
        return sums_of(returns, self.benchmark, self.ends, self.growth)

    def sums_of_rows(self, answers: Sequence[Any]) -> dict[int, FloatArray]:
        """Returns the block sums by row, for rows that have them, from the answers of a batch.

        Raises:
            ObjectiveResultError: as `sums`.
        """
        found: dict[int, FloatArray] = {}
        for row in self.rows.tolist():
            answer = answers[row]
            if type(answer) is not float and (sums := self.sums(answer)) is not None:
                found[row] = sums
        return found


def gathered(found: dict[int, FloatArray]) -> BlockRows | None:
    """Returns the block sums of a batch from those of single rows, in increasing order."""
    if not found:
        return None
    return BlockRows.finite(np.array(list(found), np.int64), np.array(list(found.values())))
