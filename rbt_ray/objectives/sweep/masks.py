"""Masks of the positions of a config in a tile: on which bars it holds each symbol after the fill, and before it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rbt_ray.objectives.sweep.bits import ALL, ONE, TOP
from rbt_ray.objectives.sweep.layout import WORDS
from rbt_ray.objectives.sweep.simd import popcount
from rbt_ray.objectives.sweep.statistics import inlined

MASKS = 2 * WORDS
"""Words of bits per symbol: the bars held after the fill, and those held before it."""


@inlined  # type: ignore[untyped-decorator]
def n_masks(n_symbols: int) -> int:
    """Returns the words of bits per config: those of each symbol, and the bars on which any symbol is held."""
    return n_symbols * MASKS + WORDS


@inlined  # type: ignore[untyped-decorator]
def below(bit: int) -> np.uint64:
    """Returns a word with the bits below `bit` set, which may be below 0 or above 64."""
    return ALL if bit >= 64 else ((ONE << np.uint64(max(bit, 0))) - ONE)


@inlined  # type: ignore[untyped-decorator]
def positions(
    words: NDArray[np.uint64],
    at: int,
    priced: NDArray[np.uint64],
    priced_at: int,
    n_symbols: int,
    lag: int,
    bars: int,
    carry: NDArray[np.uint64],
    carry_at: int,
    masks: NDArray[np.uint64],
    masks_at: int,
) -> tuple[int, int, int]:
    """Writes the masks of one config on the bars of a tile, and returns the number of held, changed and ended positions."""
    n_held, n_changes, n_ended = np.uint64(0), np.uint64(0), np.uint64(0)
    in_market = masks_at + n_symbols * MASKS
    for k in range(WORDS):
        masks[in_market + k] = np.uint64(0)
    for i in range(n_symbols):
        decided_before = carry[carry_at + i] & ONE
        held_before = carry[carry_at + i] >> ONE
        for k in range(WORDS):
            inside = below(bars - 64 * k)
            usable = priced[priced_at + i * WORDS + k]  # 0 after the last bar
            decided = words[at + i * WORDS + k] & usable
            held = (((decided << ONE) | decided_before) if lag == 1 else decided) & usable
            old = ((held << ONE) | held_before) & inside
            new = held & inside
            changed = old ^ new
            masks[masks_at + i * MASKS + k] = new
            masks[masks_at + i * MASKS + WORDS + k] = old
            masks[in_market + k] |= new | old
            n_held += popcount(new)
            n_changes += popcount(changed)
            n_ended += popcount(changed & old)
            decided_before, held_before = decided >> TOP, held >> TOP
        carry[carry_at + i] = decided_before | (held_before << ONE)
    return int(n_held), int(n_changes), int(n_ended)


@inlined  # type: ignore[untyped-decorator]
def counts(masks: NDArray[np.uint64], masks_at: int, n_symbols: int, begin: int, end: int) -> tuple[int, int, int]:
    """Returns what `positions` does, of the bars `begin` to `end` of a tile."""
    n_held, n_changes, n_ended = np.uint64(0), np.uint64(0), np.uint64(0)
    for k in range(begin // 64, (end + 63) // 64):
        inside = below(end - 64 * k) & ~below(begin - 64 * k)
        for i in range(n_symbols):
            new, old = masks[masks_at + i * MASKS + k] & inside, masks[masks_at + i * MASKS + WORDS + k] & inside
            changed = old ^ new
            n_held += popcount(new)
            n_changes += popcount(changed)
            n_ended += popcount(changed & old)
    return int(n_held), int(n_changes), int(n_ended)
