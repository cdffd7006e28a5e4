"""A list as the value of a parameter: `fixed` says that it is meant so."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rbt_ray.errors import SpaceError
from rbt_ray.study.values import is_plain, to_python


@dataclass(frozen=True, slots=True)
class Fixed:
    """A value that every config has as it is."""

    value: Any


def fixed(value: Any) -> Fixed:
    """Returns a value of `param_space` that every config has as it is; a list needs it, such as ``fixed([5, 10, 20])``.

    Raises:
        SpaceError: it is a dict, whose values are parameters of their own, or not plain.
    """
    if isinstance(value, Mapping) or not is_plain(to_python(value)):
        raise SpaceError(
            f"`fixed(value)` takes a number, a string or a list of them; got a value of type {type(value).__name__}. To pass an object "
            f"as it is, write choice([object])."
        )
    return Fixed(value)


def refuse_lists(param_space: Any, prefix: str = "") -> None:
    """Raises an error if a new `param_space` has a list where a domain or `fixed` is meant.

    Raises:
        SpaceError: the value of a parameter is a list.
    """
    if not isinstance(param_space, Mapping) or set(param_space) == {"grid_search"}:
        return
    for name, value in param_space.items():
        if isinstance(value, list):
            shown = reprlib.repr(value)  # a long one is shortened
            raise SpaceError(
                f"`{prefix}{name}` is the list {shown}. To try its values, write grid_search({shown}) or choice({shown}); to give every "
                f"config the whole list, write fixed({shown})."
            )
        refuse_lists(value, f"{prefix}{name}/")
