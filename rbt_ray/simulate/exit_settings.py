"""The settings of exits: their names, bounds and checks."""

from __future__ import annotations

import math
from collections.abc import Collection

from rbt_ray.errors import SettingError
from rbt_ray.types import Rebalance, is_real

_LEAST = 1e-6
BOUNDS = {
    "stop_loss": (_LEAST, 1.0),
    "take_profit": (_LEAST, math.inf),
    "trailing_stop": (_LEAST, 1.0),
    "time_stop": (1.0, math.inf),
}
"""The least and the most value of each setting."""
EXITS = tuple(BOUNDS)
"""The settings, in the order of their levels in kernels."""


def allowed(name: str) -> str:
    """Returns what a setting may be, for messages."""
    least, most = BOUNDS[name]
    return f"a number from {least:g} to {most:g}" if most < math.inf else f"a number, at least {least:g}"


def is_allowed(name: str, value: object) -> bool:
    """Returns whether a setting may have a value."""
    least, most = BOUNDS[name]
    return is_real(value) and least <= value <= most


def check_rebalance(name: str, rebalance: Rebalance) -> None:
    """Checks that the accounting has orders, which an exit needs.

    Raises:
        SettingError: it resets weights on every bar.
    """
    if rebalance != "on_change":
        raise SettingError(f"`{name}` needs rebalance='on_change'; got {rebalance!r}.")


def check_fields(name: str, fields: Collection[str]) -> None:
    """Checks that a bundle has the fields that exits are seen on.

    Raises:
        SettingError: one is missing.
    """
    if not {"open", "high", "low"} <= set(fields):
        raise SettingError(f"`{name}` needs the fields open, high and low; the bundle has {', '.join(fields)}.")
