"""Checks the settings of a rule's exits, which may name parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rbt_ray.errors import SettingError
from rbt_ray.nearest import nearest
from rbt_ray.simulate.exit_settings import allowed, check_rebalance, is_allowed
from rbt_ray.types import Rebalance


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
    if exits:
        check_rebalance(next(iter(exits)), rebalance)
    for name, given in exits.items():
        if isinstance(given, str):
            if given not in names:
                raise SettingError(
                    f"`{name}` is a number or names a parameter of the rule; got {given!r}: {nearest(given, names)}"
                )
        elif not is_allowed(name, given):
            raise SettingError(f"`{name}` is {allowed(name)}, or names a parameter of the rule; got {given!r}.")
