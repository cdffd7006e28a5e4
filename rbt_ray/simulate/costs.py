"""Costs of trading and holding."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rbt_ray.errors import SettingError
from rbt_ray.types import FloatArray, is_real

BASIS_POINTS = 1e4
"""Basis points in one."""
INITIAL_CASH = 100_000.0
"""Default capital at the start."""
DUST = 1e-12
"""Share of the equity below which cash is rounding error, and buys nothing."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Costs in basis points (5 is 0.05 %), each 0 by default.

    Args:
        turnover_bps: commission and half the spread, per unit of traded value: one number, or one per symbol as a
            sequence in the order of the bundle, or as a mapping by symbol.
        slippage_bps: how much a fill is worse than its price.
        borrow_bps: a year, on the value held short.
        margin_bps: a year, on leverage above 1: the gross value held less the equity.

    Raises:
        SettingError: a cost is not a finite number, is negative, or is 100 % or more.
    """

    turnover_bps: float | Sequence[float] | Mapping[str, float] = 0.0
    slippage_bps: float = 0.0
    borrow_bps: float = 0.0
    margin_bps: float = 0.0

    def __post_init__(self) -> None:
        given = self.turnover_bps
        if isinstance(given, Mapping):
            by_symbol = {
                symbol: _checked(f"turnover_bps[{symbol!r}]", bps, BASIS_POINTS) for symbol, bps in given.items()
            }
            object.__setattr__(self, "turnover_bps", by_symbol)
        elif isinstance(given, (Sequence, np.ndarray)) and not isinstance(given, str | bytes):
            in_order = tuple(_checked(f"turnover_bps[{i}]", bps, BASIS_POINTS) for i, bps in enumerate(given))
            object.__setattr__(self, "turnover_bps", in_order)
        else:
            object.__setattr__(self, "turnover_bps", _checked("turnover_bps", given, BASIS_POINTS))
        object.__setattr__(self, "slippage_bps", _checked("slippage_bps", self.slippage_bps, BASIS_POINTS))
        for name in ("borrow_bps", "margin_bps"):
            object.__setattr__(self, name, _checked(name, getattr(self, name), math.inf))

    def times(self, factor: float) -> Costs:
        """Returns all costs multiplied by a factor.

        Raises:
            SettingError: a cost becomes 100 % or more.
        """
        bps = self.turnover_bps
        scaled: float | Sequence[float] | Mapping[str, float]
        if isinstance(bps, Mapping):
            scaled = {symbol: one * factor for symbol, one in bps.items()}
        else:
            scaled = tuple(one * factor for one in bps) if isinstance(bps, Sequence) else bps * factor
        return Costs(scaled, self.slippage_bps * factor, self.borrow_bps * factor, self.margin_bps * factor)

    def turnover_rates(self, symbols: Sequence[str]) -> FloatArray:
        """Returns the turnover cost of each symbol as a fraction, ``(n_symbols,)``.

        Raises:
            SettingError: `turnover_bps` is for other symbols.
        """
        given = self.turnover_bps
        if isinstance(given, Mapping):
            missing = [symbol for symbol in symbols if symbol not in given]
            unknown = [symbol for symbol in given if symbol not in symbols]
            if missing or unknown:
                raise SettingError(
                    f"`turnover_bps` as a mapping has one entry for each symbol of the bundle ({', '.join(symbols)}); "
                    + "; ".join(
                        f"{what} {', '.join(map(repr, names))}"
                        for what, names in (("it lacks", missing), ("the bundle lacks", unknown))
                        if names
                    )
                    + "."
                )
            return np.array([given[symbol] for symbol in symbols]) / BASIS_POINTS
        if isinstance(given, Sequence):
            if len(given) != len(symbols):
                raise SettingError(
                    f"`turnover_bps` as a sequence has one number for each of the bundle's {len(symbols)} symbols "
                    f"({', '.join(symbols)}); got {len(given)}. For the same cost everywhere, pass one number."
                )
            return np.array(given) / BASIS_POINTS
        return np.full(len(symbols), given / BASIS_POINTS)


def _checked(name: str, bps: object, below: float) -> float:
    if is_real(bps) and 0 <= bps < below:
        return float(bps)
    limit = "" if below == math.inf else f" and below {below:g}, which would be everything"
    raise SettingError(
        f"`{name}` is a cost in basis points (5 is 0.05 %), a finite number of at least 0{limit}; got {bps!r}."
    )
