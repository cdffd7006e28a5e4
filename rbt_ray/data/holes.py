"""Counts the missing closes of each symbol between its first and its last close."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rbt_ray.data.bundle import Bundle

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Coverage:
    """Bars of one symbol; those before its first close and after its last are not holes.

    Args:
        missing: bars without a close from its first close to its last.
        listed: bars from its first close to its last, both included; 0 for a symbol without closes.
        before: bars of the bundle before its first close; all bars for a symbol without closes.
        after: bars of the bundle after its last close.
    """

    missing: int
    listed: int
    before: int
    after: int

    @property
    def share(self) -> float:
        """`missing` as a share of `listed`, 0 to 1; 0 for a symbol without closes."""
        return self.missing / self.listed if self.listed else 0.0


def coverage(bundle: Bundle) -> dict[str, Coverage]:
    """Returns the coverage of every symbol, in the bundle's order."""
    known = ~np.isnan(bundle.close)
    counts = known.sum(axis=0)
    firsts, from_end = known.argmax(axis=0), known[::-1].argmax(axis=0)
    found = {}
    for symbol, count, first, after in zip(
        bundle.symbols, counts.tolist(), firsts.tolist(), from_end.tolist(), strict=True
    ):
        listed = bundle.n_bars - first - after if count else 0
        found[symbol] = Coverage(listed - count, listed, first if count else bundle.n_bars, after)
    return found


def describe(found: Mapping[str, Coverage]) -> str:
    """Returns a clause that names the symbols with the largest shares of holes and counts the others; "" without holes."""
    holed = [symbol for symbol, bars in found.items() if bars.missing]
    if not holed:
        return ""
    holed.sort(key=lambda symbol: -found[symbol].share)
    shown = ", ".join(
        f"{symbol} {100 * found[symbol].share:.3g} % ({found[symbol].missing:,} of {found[symbol].listed:,})"
        for symbol in holed[:_SHOWN]
    )
    n_more = len(holed) - _SHOWN
    more = f" and {n_more:,} more symbol{'s' * (n_more > 1)}" if n_more > 0 else ""
    return f"bars without a close: {shown}{more}"


def warn_of_holes(bundle: Bundle, stacklevel: int) -> None:
    """Warn about symbols with holes, and how a study treats them."""
    if text := describe(coverage(bundle)):
        warnings.warn(
            f"the bundle has {text}. Holdings are carried over these bars, no order fills on them, and "
            f"indicators skip them; see `rbt_ray.simulate`.",
            stacklevel=stacklevel + 1,
        )
