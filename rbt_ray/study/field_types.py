"""Checks the fields of dataclasses that were read from a file against their annotations."""

from __future__ import annotations

import dataclasses
import sys
import types
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from rbt_ray.errors import JournalError


def check_types(value: Any, what: str = "the study's definition") -> None:
    """Checks the fields of a dataclass, and of dataclasses in them.

    Args:
        value: the dataclass.
        what: its name in errors.

    Raises:
        JournalError: a field has another type, or a number is not finite.
    """
    kind: Any = type(value)
    for name, hint in _hints(kind).items():
        found = getattr(value, name)
        if not _is_of(found, hint):
            raise JournalError(f"{what} is damaged: its `{name}` is {str(found)[:80]!r}.")


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _is_of(value: Any, hint: Any) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_is_of(value, option) for option in inner)
    if origin is Literal:
        return isinstance(value, str) and value in inner
    if origin is dict:
        pairs = value.items() if isinstance(value, dict) else ()
        return isinstance(value, dict) and all(_is_of(key, inner[0]) and _is_of(part, inner[1]) for key, part in pairs)
    if origin in (tuple, list):
        return isinstance(value, origin) and all(_is_of(part, inner[0]) for part in value)
    if hint is float:
        return type(value) in (int, float) and -sys.float_info.max <= value <= sys.float_info.max
    if hint in (int, bool, type(None)):
        return type(value) is hint
    if not isinstance(value, origin or hint):
        return False
    if dataclasses.is_dataclass(value):
        check_types(value)
    return True
