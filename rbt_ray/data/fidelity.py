"""Cuts a bundle to a fidelity: a share of the training bars, of blocks spread over them, or of the symbols.

For each kind, a higher fidelity has all data of a lower one, and fidelity 1 has every training bar of every symbol.
"""

from __future__ import annotations

import itertools
import math
from contextlib import suppress
from typing import Literal, TypeAlias, get_args

import numpy as np

from rbt_ray.data import read_only_pages
from rbt_ray.data.bundle import Bundle
from rbt_ray.data.content import PRICES, Content
from rbt_ray.types import FloatArray, IntArray

FidelityKind: TypeAlias = Literal["prefix", "blocks", "symbols"]
FIDELITY_KINDS: tuple[FidelityKind, ...] = get_args(FidelityKind)
N_BLOCKS = 8


def cut_to_fidelity(
    bundle: Bundle, kind: FidelityKind, fidelity: float, train_bars: int, seed: int
) -> tuple[Bundle, int]:
    """Returns a bundle, and the number of its bars, from the first, that a trial at this fidelity uses.

    Args:
        bundle: all prices, hold-out included.
        kind: "prefix": the first ``ceil(fidelity * train_bars)`` bars. "blocks": the first bars of each of 8 blocks of the
            training bars, that share of each block, so that every period is represented. "symbols": that share of the
            symbols, chosen by the seed, over all training bars.
        fidelity: above 0 and at most 1.
        train_bars: number of bars before the hold-out.
        seed: the study's.
    """
    if fidelity == 1 or kind == "prefix":
        return bundle, share_of(fidelity, train_bars)
    if kind == "symbols":
        return _some_symbols(bundle, fidelity, seed), train_bars
    pieces = _blocks(bundle, fidelity, train_bars)
    return pieces, pieces.n_bars


def share_of(fidelity: float, n: int) -> int:
    """Returns ``ceil(fidelity * n)``, from 1 to `n`; 1/3 of 300 is 100 in spite of binary rounding."""
    return min(n, max(1, math.ceil(fidelity * n * (1 - 1e-12))))


def _some_symbols(bundle: Bundle, fidelity: float, seed: int) -> Bundle:
    order = np.random.default_rng([seed % 2**64, 0x5B01]).permutation(bundle.n_symbols)
    columns = np.sort(order[: share_of(fidelity, bundle.n_symbols)])
    content = bundle.content
    kept = {name: np.ascontiguousarray(values[:, columns]) for name, values in content.arrays.items()}
    return _derived(bundle, f"symbols/{columns.tolist()}", kept, columns, np.arange(bundle.n_bars))


def _blocks(bundle: Bundle, fidelity: float, train_bars: int) -> Bundle:
    """Returns the first bars of each block, concatenated.

    The prices of each block are scaled so that its first bar keeps its return: a trial must not earn the return of the bars
    between the blocks.
    """
    edges = [train_bars * block // N_BLOCKS for block in range(N_BLOCKS + 1)]
    blocks = [(a, a + share_of(fidelity, b - a)) for a, b in itertools.pairwise(edges) if b > a]
    rows = np.concatenate([np.arange(a, b) for a, b in blocks])
    kept = {name: values[rows] for name, values in bundle.content.arrays.items()}
    factor, last = np.ones(bundle.n_symbols), np.full(bundle.n_symbols, np.nan)
    done = 0
    for start, stop in blocks:
        here = slice(done, done + stop - start)
        joint = last / _last_known(bundle.close[:start])
        factor = np.where(np.isfinite(joint) & (joint > 0), joint, factor)
        for name in PRICES:
            if name in kept:
                kept[name][here] *= factor
        closes = _last_known(kept["close"][here])
        last = np.where(np.isnan(closes), last, closes)
        done = here.stop
    return _derived(bundle, f"blocks/{train_bars}/{fidelity!r}", kept, np.arange(bundle.n_symbols), rows)


def _last_known(close: FloatArray) -> FloatArray:
    """Returns ``(n_symbols,)`` the last value of each column that is not NaN; NaN for a column of NaN."""
    known = ~np.isnan(close)
    if not len(close):
        return np.full(close.shape[1], np.nan)
    row = len(close) - 1 - np.argmax(known[::-1], axis=0)
    last: FloatArray = close[row, np.arange(close.shape[1])]
    return last


def _derived(bundle: Bundle, part: str, arrays: dict[str, FloatArray], columns: IntArray, rows: IntArray) -> Bundle:
    content = bundle.content
    symbols = tuple(content.symbols[column] for column in columns)
    # The bundle's version and the cut identify the content without hashing it again.
    version = f"{content.version}/{part}"
    ends = {symbol: end for symbol, end in content.listed_until.items() if symbol in symbols}
    cut = Content(content.index[rows], symbols, arrays, content.tz, content.periods_per_year, version, ends)
    with suppress(OSError):  # only Linux has read-only pages
        cut = cut.relocated(read_only_pages.copy)
    return Bundle(cut.freeze(), bundle.name, bundle.metadata)
