"""Which symbols lack closes between their first and their last."""

from __future__ import annotations

import warnings

import numpy as np

from rbt_ray.data.bundle import Bundle

_SHOWN = 5


def holes(bundle: Bundle) -> dict[str, int]:
    """Bars without a close between a symbol's first and its last, of the symbols that have such bars."""
    known = ~np.isnan(bundle.close)
    if known.all():
        return {}
    listed = np.logical_or.accumulate(known, axis=0) & np.logical_or.accumulate(known[::-1], axis=0)[::-1]
    counts = (listed & ~known).sum(axis=0).tolist()
    return {symbol: count for symbol, count in zip(bundle.symbols, counts, strict=True) if count}


def described(found: dict[str, int]) -> str:
    """What `holes` found in a few words, the most first."""
    most = sorted(found, key=lambda symbol: -found[symbol])
    shown = ", ".join(f"{symbol} {found[symbol]:,}" for symbol in most[:_SHOWN])
    more = f" and {len(most) - _SHOWN:,} others" if len(most) > _SHOWN else ""
    return f"bars without a close: {shown}{more}"


def warn_of_holes(bundle: Bundle, stacklevel: int) -> None:
    """Warns where symbols have holes, and says what a study does about them."""
    if found := holes(bundle):
        warnings.warn(
            f"the bundle has {described(found)}. Holdings are carried over them, nothing is filled on them, and "
            f"indicators leave them out; see `rbt_ray.simulate`.",
            stacklevel=stacklevel + 1,
        )
