"""Probability of backtest overfitting, by combinatorially symmetric cross-validation."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from rbt_ray.errors import InputError, ShapeError
from rbt_ray.types import FloatArray, IntArray

_AT_ONCE = 2**24
"""Sharpe ratios computed at once: splits times trials."""


@dataclass(frozen=True, slots=True, eq=False)
class Cscv:
    """The results of combinatorially symmetric cross-validation, one row per split.

    Args:
        best: ``(n_splits,)`` the best trial in-sample; the first of equals.
        in_sample: ``(n_splits,)`` its Sharpe ratio there, per bar.
        out_of_sample: ``(n_splits,)`` its Sharpe ratio on the other half.
        logits: ``(n_splits,)`` logit of its relative rank out of sample; 0 is the median, lower is worse.
    """

    best: IntArray
    in_sample: FloatArray
    out_of_sample: FloatArray
    logits: FloatArray

    @property
    def pbo(self) -> float:
        """The probability of backtest overfitting: the share of splits with a logit of 0 or below."""
        return float((self.logits <= 0).mean())


def cscv(returns: ArrayLike, n_blocks: int = 16) -> Cscv:
    """Splits history into blocks, and tests the best trial of each half of the blocks on the other half.

    A trial with constant returns in a half has no Sharpe ratio there and ranks last.

    Args:
        returns: ``(n_bars, n_trials)`` simple returns per bar.
        n_blocks: an even number of consecutive blocks of about equal length; 16 give 12,870 splits.

    Raises:
        ShapeError: `returns` is not a table of at least 2 trials and 2 bars a block, or holds NaN.
        InputError: `n_blocks` is not an even number of at least 2.

    Source:
        Bailey, Borwein, Lopez de Prado and Zhu (2017), "The Probability of Backtest Overfitting", Journal of
        Computational Finance 20(4), 39-69.
    """
    table = np.asarray(returns, dtype=np.float64)
    if n_blocks < 2 or n_blocks % 2:
        raise InputError(f"`n_blocks` is an even number of at least 2; got {n_blocks}.")
    if table.ndim != 2 or table.shape[1] < 2 or table.shape[0] < 2 * n_blocks or np.isnan(table).any():
        raise ShapeError(
            f"`returns` is (n_bars, n_trials) without NaN, at least 2 trials and {2 * n_blocks} bars for {n_blocks} "
            f"blocks; got shape {table.shape}."
        )
    # The Sharpe ratio of a half follows from sums over its blocks. Subtracting the mean keeps the digits of the squares.
    centre = table.mean(axis=0)
    blocks = np.array_split(table - centre, n_blocks)
    sums = np.array([block.sum(axis=0) for block in blocks])
    squares = np.array([(block**2).sum(axis=0) for block in blocks])
    lengths = np.array([len(block) for block in blocks], dtype=np.float64)
    chosen = np.array(list(itertools.combinations(range(n_blocks), n_blocks // 2)))
    halves = np.zeros((len(chosen), n_blocks))
    np.put_along_axis(halves, chosen, 1.0, axis=1)
    step = max(1, _AT_ONCE // table.shape[1])
    parts = [_compare(halves[i : i + step], sums, squares, lengths, centre) for i in range(0, len(halves), step)]
    best, inside, outside, logits = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Cscv(best, inside, outside, logits)


def pbo(returns: ArrayLike, n_blocks: int = 16) -> float:
    """Returns the probability of backtest overfitting, 0 to 1: see `cscv`."""
    return cscv(returns, n_blocks).pbo


def _compare(
    halves: FloatArray, sums: FloatArray, squares: FloatArray, lengths: FloatArray, centre: FloatArray
) -> tuple[IntArray, FloatArray, FloatArray, FloatArray]:
    inside = _sharpe(halves, sums, squares, lengths, centre)
    outside = _sharpe(1 - halves, sums, squares, lengths, centre)
    rows = np.arange(len(halves))
    best = inside.argmax(axis=1)
    theirs = outside[rows, best]
    below = (outside < theirs[:, None]).sum(axis=1)
    equal = (outside == theirs[:, None]).sum(axis=1)
    rank = below + (equal + 1) / 2  # 1 is the worst; ties share the mean of their ranks
    share = rank / (outside.shape[1] + 1)
    return best, inside[rows, best], theirs, np.log(share / (1 - share))


def _sharpe(
    halves: FloatArray, sums: FloatArray, squares: FloatArray, lengths: FloatArray, centre: FloatArray
) -> FloatArray:
    n = (halves @ lengths)[:, None]
    mean = halves @ sums / n
    variance = (halves @ squares - n * mean**2) / (n - 1)
    level = centre + mean
    constant = variance <= 1e-12 * level**2
    ratio = np.divide(level, np.sqrt(variance, where=~constant, out=np.ones_like(variance)))
    return np.where(constant, -np.inf, ratio)
