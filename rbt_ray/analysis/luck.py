"""How often luck alone gives the best of many trials so large an edge over a benchmark."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rbt_ray.block_sums import Benchmark, BlockSums
from rbt_ray.errors import InputError
from rbt_ray.types import FloatArray

_SAME = 1e-10
"""Residuals below this share of the squared returns are rounding: the trial is a multiple of the benchmark."""


@dataclass(frozen=True, slots=True)
class LuckTest:
    """The search-wide test of a winner's edge over the benchmark.

    Args:
        p_value: the probability that luck alone gives the best of all trials so large an edge.
        statistic: the winner's alpha over its standard error.
        null_median: of the highest statistic of all trials under luck alone.
        null_95: its 95 % quantile, which a winner must reach for a p-value of 0.05.
        n_tested: trials that the null draws were made from.
        n_trials: trials that the p-value is for.
    """

    p_value: float
    statistic: float
    null_median: float
    null_95: float
    n_tested: int
    n_trials: int


def search_wide_p(sums: BlockSums, benchmark: Benchmark, winner: int, n_trials: int) -> LuckTest:
    """Tests whether luck alone explains the winner's edge over the benchmark, given all trials.

    A trial's edge is its alpha: the mean of its returns after regression on the benchmark's. The residuals of each block,
    less alpha, get a sign; the null distribution is that of the highest statistic of any trial, over all assignments of
    signs to blocks, the same for all trials. Removing alpha first keeps trials with a large loss from counting as gains
    under opposite signs. It also makes the residuals of `S` blocks add up to zero, for which a factor of
    ``sqrt(S / (S - 1))`` restores their variance. If only `m` of `n_trials` are in `sums`, the null distribution of `m`
    is raised to the power ``n_trials / m``, as if groups of `m` trials were independent.

    Args:
        sums: trials drawn at random, or all, and the winner.
        benchmark: of the same blocks; returns that are all 0 test the mean return instead.
        winner: number of a trial in `sums`.
        n_trials: all evaluations of the search, at any fidelity.

    Raises:
        InputError: the winner is not in `sums`, a sum is NaN or infinite, or there are too few bars.
    """
    from rbt_ray.analysis.block_kernels import highest_over_flips  # loads numba

    at = np.flatnonzero(sums.trials == winner)
    if len(at) != 1:
        raise InputError(f"`winner` must be a trial with block sums; trial {winner} has none.")
    if not all(np.isfinite(part).all() for part in (sums.sums, sums.squares, sums.products)):
        raise InputError("`sums` must be finite; a trial has NaN or infinite returns.")
    if benchmark.lengths.min() < 1 or benchmark.lengths.sum() < 3:
        raise InputError(f"`benchmark` needs at least a bar in each block and 3 in all; got {benchmark.lengths}.")
    residuals, statistics = _residuals(sums, benchmark)
    statistic = float(statistics[at[0]])
    # Numbers that are equal but for rounding count as reached.
    highest = highest_over_flips(residuals)
    share = float((highest >= statistic - 1e-9 * abs(statistic)).mean())
    power = max(1.0, n_trials / len(sums))
    median, high = np.quantile(highest, (0.5 ** (1 / power), 0.95 ** (1 / power)))
    # -expm1(power * log1p(-share)) is 1 - (1 - share)**power with all digits of a small share.
    p_value = -float(np.expm1(power * np.log1p(-share))) if share < 1 else 1.0
    return LuckTest(p_value, statistic, float(median), float(high), len(sums), max(n_trials, len(sums)))


def _residuals(sums: BlockSums, benchmark: Benchmark) -> tuple[FloatArray, FloatArray]:
    """Returns ``(n_trials, n_blocks)`` residuals by block and ``(n_trials,)`` alphas, both in standard errors of alpha."""
    n_bars, n_blocks = benchmark.lengths.sum(), len(benchmark.lengths)
    mean_of_benchmark = benchmark.sums.sum() / n_bars
    spread_of_benchmark = benchmark.squares.sum() - n_bars * mean_of_benchmark**2
    mean = sums.sums.sum(axis=1) / n_bars
    shared = sums.products.sum(axis=1) - n_bars * mean * mean_of_benchmark
    has_spread = spread_of_benchmark > _SAME * benchmark.squares.sum()
    beta = shared / spread_of_benchmark if has_spread else np.zeros(len(sums))
    alpha = mean - beta * mean_of_benchmark
    squares = sums.squares.sum(axis=1)
    unexplained = squares - n_bars * mean**2 - beta**2 * (spread_of_benchmark if has_spread else 0.0)
    is_same = unexplained <= _SAME * squares
    error = np.sqrt(np.where(is_same, 1.0, unexplained) / (n_bars - 2) * n_bars)
    residuals = sums.sums - beta[:, None] * benchmark.sums - alpha[:, None] * benchmark.lengths
    scale = np.where(is_same, 0.0, 1.0 / error)
    return residuals * scale[:, None] * np.sqrt(n_blocks / (n_blocks - 1)), alpha * n_bars * scale
