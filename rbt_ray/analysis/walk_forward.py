"""Walk-forward from block sums: choose a trial on some blocks, and measure it on the blocks that follow."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rbt_ray.analysis.sharpe import sharpe_of_sums
from rbt_ray.block_sums import Benchmark, BlockSums
from rbt_ray.errors import InputError
from rbt_ray.types import FloatArray, is_integer


@dataclass(frozen=True, slots=True)
class Window:
    """The choice on one training range and its result on the test range after it.

    Args:
        train: first block of the training range, and the first after it.
        test: first block of the test range, and the first after it.
        trial: number of the chosen trial, the one with the highest Sharpe ratio on the training range.
        in_sample: its annual Sharpe ratio there; NaN if its returns are constant, as in all fields.
        out_of_sample: its annual Sharpe ratio on the test range.
        benchmark: annual Sharpe ratio of the benchmark on the test range.
    """

    train: tuple[int, int]
    test: tuple[int, int]
    trial: int
    in_sample: float
    out_of_sample: float
    benchmark: float


@dataclass(frozen=True, slots=True)
class WalkForwardResult:
    """The windows of a walk-forward, and the Sharpe ratio of their test ranges as one series.

    Args:
        windows: in order of time.
        sharpe: annual Sharpe ratio of the chosen trials' returns over all test ranges; NaN if they are constant.
        benchmark_sharpe: that of the benchmark over the same bars.
        years: length of the test ranges together.
    """

    windows: tuple[Window, ...]
    sharpe: float
    benchmark_sharpe: float
    years: float

    @property
    def efficiency(self) -> float:
        """The Sharpe ratio out of sample over the mean of those in sample; NaN if that mean is not above 0."""
        inside = float(np.mean([window.in_sample for window in self.windows]))
        return self.sharpe / inside if inside > 0 else math.nan


def walk_forward_of_sums(
    sums: BlockSums, benchmark: Benchmark, train: int, test: int, anchored: bool, gap: int = 0
) -> WalkForwardResult:
    """Chooses by Sharpe ratio on training blocks, and measures on the test blocks that follow.

    A window's choice depends on its training blocks alone: later returns do not change a bit of it.

    Args:
        sums: of at least one trial.
        benchmark: of the same blocks.
        train: blocks of the first training range.
        test: blocks of a test range; a shorter last one is used too.
        anchored: whether training ranges begin at the first block; otherwise all have `train` blocks.
        gap: blocks between a training range and its test range.

    Raises:
        InputError: a number of blocks is out of range, or there are no trials.
    """
    n_blocks = len(benchmark.lengths)
    for name, value, least in (("train", train, 1), ("test", test, 1), ("gap", gap, 0)):
        if not is_integer(value) or value < least:
            raise InputError(f"`{name}` is a whole number of blocks, at least {least}; got {value!r}.")
    if train + gap >= n_blocks:
        raise InputError(f"`train` and `gap` must leave a block to test, of {n_blocks}; got {train} and {gap}.")
    if not len(sums):
        raise InputError("Walk-forward needs at least one trial.")
    annual = math.sqrt(benchmark.periods_per_year)

    def sharpe(part: BlockSums | Benchmark, blocks: slice) -> FloatArray:
        totals, squares = part.sums[..., blocks].sum(axis=-1), part.squares[..., blocks].sum(axis=-1)
        return sharpe_of_sums(totals, squares, float(benchmark.lengths[blocks].sum())) * annual

    windows, parts = [], []
    for start in range(train + gap, n_blocks, test):
        inside = slice(0 if anchored else start - gap - train, start - gap)
        outside = slice(start, min(start + test, n_blocks))
        ratios = sharpe(sums, inside)
        row = int(np.argmax(np.where(np.isnan(ratios), -np.inf, ratios)))
        chosen = BlockSums(sums.trials[[row]], sums.sums[[row]], sums.squares[[row]], sums.products[[row]])
        parts.append((chosen.sums[:, outside], chosen.squares[:, outside]))
        windows.append(
            Window(
                (inside.start, inside.stop),
                (outside.start, outside.stop),
                int(sums.trials[row]),
                float(ratios[row]),
                float(sharpe(chosen, outside)[0]),
                float(sharpe(benchmark, outside)),
            )
        )
    tested = slice(train + gap, n_blocks)
    totals, squares = (np.concatenate(column, axis=1).sum(axis=1) for column in zip(*parts, strict=True))
    n_bars = float(benchmark.lengths[tested].sum())
    return WalkForwardResult(
        tuple(windows),
        float(sharpe_of_sums(totals, squares, n_bars)[0]) * annual,
        float(sharpe(benchmark, tested)),
        n_bars / benchmark.periods_per_year,
    )
