"""A number that changes whenever a dict is modified: checking a module then takes one read instead of one for each name.

CPython 3.6 to 3.13 keep such a number in every dict, behind reference count, type and length (PEP 509). A comparison of
the names takes longer, and writes a reference count to each value's page: a forked worker then has its own copies of the
pages that it shared with the others.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any

_OFFSET = object.__basicsize__ + ctypes.sizeof(ctypes.c_ssize_t)


def version_reader(of: dict[str, Any]) -> Callable[[], int | None]:
    """Returns what reads the version of a dict; it reads None where this Python keeps none.

    The dict must outlive the reader.
    """
    if not _IS_KEPT:
        return _no_version
    number = ctypes.c_uint64.from_address(id(of) + _OFFSET)
    return lambda: number.value


def _no_version() -> None:
    return None


def _is_kept() -> bool:
    """Whether the number at this place of a dict changes with each kind of modification, and only then."""
    if sys.implementation.name != "cpython":
        return False
    probe: dict[str, Any] = {"kept": 1, "replaced": 2, "deleted": 3}
    number = ctypes.c_uint64.from_address(id(probe) + _OFFSET)
    seen = [number.value]
    for change in (
        lambda: probe.__setitem__("replaced", 4),
        lambda: probe.update(kept=5),
        lambda: probe.pop("deleted"),
        lambda: probe.setdefault("added", 6),
    ):
        (probe["kept"], probe.get("absent"), list(probe.values()), dict(probe))
        if number.value != seen[-1]:
            return False
        change()
        seen.append(number.value)
    return len(set(seen)) == len(seen)


_IS_KEPT = _is_kept()
