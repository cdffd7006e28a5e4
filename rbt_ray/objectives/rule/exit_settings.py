"""The settings of exits: their names, bounds and checks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from rbt_ray.errors import SettingError
from rbt_ray.nearest import nearest
from rbt_ray.objectives.builtin.strategy import Parameter
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


def check_exits(exits: Mapping[str, float | str], params: Iterable[str], rebalance: Rebalance) -> None:
    """Checks the settings of exits.

    Args:
        exits: those that are set: a number, or the name of a parameter.
        params: the parameters of the rule.
        rebalance: the accounting.

    Raises:
        SettingError: one cannot be used.
    """
    names = list(params)
    if exits and rebalance != "on_change":
        raise SettingError(f"`{next(iter(exits))}` needs rebalance='on_change'; got {rebalance!r}.")
    for name, given in exits.items():
        if isinstance(given, str):
            if given not in names:
                raise SettingError(
                    f"`{name}` is a number or names a parameter of the rule; got {given!r}: {nearest(given, names)}"
                )
        elif not is_real(given) or not BOUNDS[name][0] <= given <= BOUNDS[name][1]:
            raise SettingError(
                f"`{name}` is {Parameter(name, *BOUNDS[name])}, or names a parameter of the rule; got {given!r}."
            )
