"""Probability of backtest overfitting, by combinatorially symmetric cross-validation."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from rbt_ray.analysis.sharpe import in_range, sharpe_of_sums
from rbt_ray.block_sums import Benchmark, BlockSums
from rbt_ray.errors import InputError, ShapeError
from rbt_ray.types import FloatArray, IntArray, is_integer

_MOST_BLOCKS = 24
"""More have over ten million splits."""
_FLIPS = 99
"""Draws of the probability of overfitting without skill."""
_SPLITS = 1_600
"""Splits of each of these draws, about."""
_SAMPLE = 100
"""Trials in each of these draws, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Cscv:
    """The results of combinatorially symmetric cross-validation, one row per split.

    Args:
        best: ``(n_splits,)`` the best trial in-sample; the first of equals.
        in_sample: ``(n_splits,)`` its Sharpe ratio there, per bar.
        out_of_sample: ``(n_splits,)`` its Sharpe ratio on the other half.
        logits: ``(n_splits,)`` logit of its relative rank out of sample; 0 is the median, lower is worse.
        n_trials: number of trials compared.
    """

    best: IntArray
    in_sample: FloatArray
    out_of_sample: FloatArray
    logits: FloatArray
    n_trials: int

    @property
    def pbo(self) -> float:
        """The probability of backtest overfitting: the share of splits with a logit of 0 or below, as in the paper."""
        return float((self.logits <= 0).mean())

    @property
    def pbo_half_ties(self) -> float:
        """The same, where a logit of 0 counts as half, so that it is 0.5 on average without skill."""
        return float((self.logits < 0).mean() + 0.5 * (self.logits == 0).mean())


def cscv(returns: ArrayLike, n_blocks: int = 16) -> Cscv:
    """Splits history into blocks, and tests the best trial of each half of the blocks on the other half.

    A trial with constant returns in a half has no Sharpe ratio there and ranks last, with a ratio of -inf.

    Args:
        returns: ``(n_bars, n_trials)`` simple returns per bar.
        n_blocks: an even number of consecutive blocks of about equal length, at most 24; 16 give 12,870 splits.

    Raises:
        ShapeError: `returns` is not a table of at least 2 trials and 2 bars a block, or holds NaN or infinite values.
        InputError: `n_blocks` is not an even number from 2 to 24.

    Source:
        Bailey, Borwein, Lopez de Prado and Zhu (2017), "The Probability of Backtest Overfitting", Journal of
        Computational Finance 20(4), 39-69.
    """
    if not is_integer(n_blocks) or not 2 <= n_blocks <= _MOST_BLOCKS or n_blocks % 2:
        raise InputError(f"`n_blocks` is an even number from 2 to {_MOST_BLOCKS}; got {n_blocks!r}.")
    table = np.asarray(returns, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2 or table.shape[0] < 2 * n_blocks:
        raise ShapeError(
            f"`returns` is (n_bars, n_trials), at least 2 trials and {2 * n_blocks} bars for {n_blocks} blocks; got "
            f"shape {table.shape}."
        )
    with np.errstate(invalid="ignore", over="ignore"):  # of NaN, infinite or huge values, which are refused
        sums = BlockSums.of(table, np.zeros(len(table)), int(n_blocks))
    lengths = np.array([len(block) for block in np.array_split(table[:, 0], int(n_blocks))])
    return cscv_of_sums(sums, lengths)


def cscv_of_sums(sums: BlockSums, lengths: IntArray) -> Cscv:
    """Returns the result of `cscv` from sums over blocks; `best` holds rows of `sums`.

    Args:
        sums: of at least 2 trials, with an even number of blocks.
        lengths: ``(n_blocks,)`` bars per block, at least 1.

    Raises:
        ShapeError: a sum is NaN, infinite or above 1e100, or there are fewer than 2 trials.
    """
    if len(sums) < 2 or not (in_range(sums.sums).all() and in_range(sums.squares).all()):
        raise ShapeError("Cross-validation needs at least 2 trials, and returns without NaN, infinite or huge values.")
    return _on_splits(sums.sums, sums.squares, lengths, halves_of(len(lengths)))


def pbo(returns: ArrayLike, n_blocks: int = 16) -> float:
    """Returns the probability of backtest overfitting, 0 to 1: see `cscv`."""
    return cscv(returns, n_blocks).pbo


@dataclass(frozen=True, slots=True, eq=False)
class NoSkill:
    """Cross-validations of trials of which none is better than another.

    Args:
        draws: one result for each draw of the trials' returns.
    """

    draws: tuple[Cscv, ...]

    @property
    def pbo_band(self) -> tuple[float, float]:
        """The 5 % and 95 % quantiles of the probability of overfitting."""
        low, high = np.quantile([draw.pbo_half_ties for draw in self.draws], (0.05, 0.95))
        return float(low), float(high)


def without_skill(sums: BlockSums, lengths: IntArray) -> NoSkill:
    """Returns what cross-validation gives if no trial is better than another.

    Gives the blocks of up to 100 trials, less their mean, random signs, the same for all trials, which keeps the
    correlations between trials; 99 times. The trials are evenly spaced over `sums`, and the signs are always the same.
    """
    rows = np.unique(np.linspace(0, len(sums) - 1, _SAMPLE).round().astype(np.int64))
    mean = sums.sums[rows].sum(axis=1, keepdims=True) / lengths.sum()
    centred = sums.sums[rows] - mean * lengths
    squares = sums.squares[rows] - 2 * mean * sums.sums[rows] + mean**2 * lengths
    halves = halves_of(len(lengths))
    some = halves[: len(halves) // 2 : max(1, len(halves) // _SPLITS)]
    some = np.concatenate([some, 1 - some[::-1]])
    signs = 1.0 - 2.0 * np.random.default_rng(0).integers(0, 2, (_FLIPS, len(lengths)))
    return NoSkill(tuple(_on_splits(centred * sign, squares, lengths, some) for sign in signs))


def pbo_without_skill(sums: BlockSums, lengths: IntArray) -> tuple[float, float]:
    """Returns the 5 % and 95 % quantiles of the probability of overfitting if no trial were better than another."""
    return without_skill(sums, lengths).pbo_band


@dataclass(frozen=True, slots=True, eq=False)
class LogitShares:
    """The shares of splits whose logit is in a bin, beside those without skill.

    Args:
        edges: ``(n_bins + 1,)`` ends of the bins; the first and the last are infinite.
        shares: ``(n_bins,)`` of the trials; a logit on an edge counts as half in both bins.
        low: ``(n_bins,)`` the 5 % quantile without skill.
        high: ``(n_bins,)`` the 95 % quantile without skill.
    """

    edges: FloatArray
    shares: FloatArray
    low: FloatArray
    high: FloatArray

    @classmethod
    def of(cls, splits: Cscv, noise: NoSkill) -> LogitShares:
        """Returns the shares of a cross-validation, in bins of 0.5 from -3 to 3 and beyond."""
        edges = np.concatenate([[-np.inf], np.arange(-3.0, 3.25, 0.5), [np.inf]])
        low, high = np.quantile([_shares(draw.logits, edges) for draw in noise.draws], (0.05, 0.95), axis=0)
        return cls(edges, _shares(splits.logits, edges), low, high)


def _shares(logits: FloatArray, edges: FloatArray) -> FloatArray:
    below, not_above = (np.searchsorted(np.sort(logits), edges, side) for side in ("left", "right"))
    shares: FloatArray = np.diff((below + not_above) / 2) / len(logits)
    return shares


def expected_out_of_sample(splits: Cscv, benchmark: Benchmark) -> tuple[float, float]:
    """Returns the mean annual Sharpe ratios out of sample of the chosen trials and of the benchmark.

    Constant returns count as a ratio of 0.
    """
    annual = math.sqrt(benchmark.periods_per_year)
    halves = halves_of(len(benchmark.lengths)).astype(np.float64)
    beside = sharpe_of_sums(halves @ benchmark.sums, halves @ benchmark.squares, halves @ benchmark.lengths)
    chosen = np.where(np.isfinite(splits.out_of_sample), splits.out_of_sample, 0.0)
    return float(chosen.mean()) * annual, float(np.nan_to_num(beside).mean()) * annual


@functools.lru_cache(4)
def halves_of(n_blocks: int) -> IntArray:
    """Returns ``(n_splits, n_blocks)``: 1 where a block belongs to a half, 0 where it does not; one row for each half."""
    chosen = np.fromiter(
        itertools.chain.from_iterable(itertools.combinations(range(n_blocks), n_blocks // 2)), np.int64
    ).reshape(math.comb(n_blocks, n_blocks // 2), -1)
    halves = np.zeros((len(chosen), n_blocks), np.int64)
    np.put_along_axis(halves, chosen, 1, axis=1)
    halves.flags.writeable = False
    return halves


def _on_splits(sums: FloatArray, squares: FloatArray, lengths: IntArray, halves: IntArray) -> Cscv:
    """Returns the result for some halves, of which the last is the complement of the first, and so on."""
    from rbt_ray.analysis.block_kernels import best_in_subsets, rank_in_subsets  # loads numba

    subsets = halves @ (1 << np.arange(len(lengths)))
    n_bars = (halves @ lengths).astype(np.float64)
    best, inside = best_in_subsets(sums, squares, subsets, n_bars)
    outside, below, equal = rank_in_subsets(sums, squares, subsets, n_bars, best[::-1].copy())
    rank = below + (equal + 1) / 2  # 1 is the worst; ties share the mean of their ranks
    share = (rank / (len(sums) + 1))[::-1]
    logits = np.log(share / (1 - share))
    return Cscv(best, _sharpe(inside, n_bars), _sharpe(outside, n_bars)[::-1], logits, len(sums))


def _sharpe(ratios: FloatArray, n_bars: FloatArray) -> FloatArray:
    """Returns Sharpe ratios per bar of the kernels' ratios."""
    return np.sign(ratios) * np.sqrt(np.abs(ratios) * (n_bars - 1)) / n_bars
