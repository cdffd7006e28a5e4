"""Memo: results worth keeping on a warm worker, bounded by bytes, least recently used out first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rbt_ray.errors import InputError

MIB = 2**20
ABSENT: Final = object()
"""What `get` gives for a key that is not there; None is a result."""
_OVERHEAD = 512
"""Bytes charged for key and bookkeeping, so that a million numbers are bounded too."""


class Memo:
    """A dictionary that forgets the least recently used results when they take more than `capacity` bytes.

    Attributes:
        capacity: bytes it may hold.
        nbytes: bytes it holds.
    """

    __slots__ = ("_entries", "_lock", "capacity", "nbytes")

    def __init__(self, capacity: int = 256 * MIB) -> None:
        self.capacity = capacity
        self.nbytes = 0
        self._entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable) -> Any:
        """The result kept under `key`, or `ABSENT`."""
        entry = self._entries.get(key)
        if entry is None:
            return ABSENT
        try:  # noqa: SIM105 - suppress() would take as long as all the rest
            self._entries.move_to_end(key)
        except KeyError:  # another thread has just forgotten it
            pass
        return entry[0]

    def put(self, key: Hashable, result: Any, nbytes: int | None = None) -> None:
        """Keep a result that nobody changes; one larger than the whole capacity is not kept.

        Args:
            key: what to find it by.
            result: what `freeze` made, or anything of known size.
            nbytes: its size; None for what `freeze` made, which is counted.
        """
        size = _OVERHEAD + (_bytes(result) if nbytes is None else nbytes)
        if size > self.capacity:
            return
        with self._lock:
            _, old = self._entries.pop(key, (None, 0))
            self.nbytes += size - old
            self._entries[key] = (result, size)
            while self.nbytes > self.capacity:
                _, (_, freed) = self._entries.popitem(last=False)
                self.nbytes -= freed


def freeze(result: Any, maker: str) -> Any:
    """The result with its arrays read-only and its dicts as read-only mappings: trials share it.

    Args:
        result: an array, number, string, None, or a tuple or dict of them.
        maker: the name of the function that returned it, for the message.

    Raises:
        InputError: it is something that a trial could change for the trials after it.
    """
    if isinstance(result, np.ndarray):
        result.setflags(write=False)
        return as_read_only(result)
    if isinstance(result, tuple):
        parts = [freeze(part, maker) for part in result]
        return type(result)(*parts) if hasattr(result, "_fields") else tuple(parts)
    if isinstance(result, Mapping):
        return MappingProxyType({key: freeze(value, maker) for key, value in result.items()})
    if result is None or isinstance(result, int | float | complex | str | bytes | frozenset | np.generic):
        return result
    raise InputError(
        f"`data.memo({maker}, ...)`: what is kept must be an array, a number, a string, None, or a tuple or dict of "
        f"them, since trials share it and must not change it; got {type(result).__name__}. Return arrays "
        "(frame.to_numpy()) or a tuple of them."
    )


def as_read_only(array: NDArray[Any]) -> NDArray[Any]:
    """The read-only array over a buffer that says so too: `setflags(write=True)`, on it or its base, is refused."""
    if array.dtype.kind not in "biufc":  # dates have no buffers
        return array
    return np.asarray(array.data.toreadonly())


def _base(array: NDArray[Any]) -> Any:
    return array.base.obj if isinstance(array.base, memoryview) else array.base


def _bytes(result: Any) -> int:
    if isinstance(result, np.ndarray):
        owner: Any = result
        while isinstance(base := _base(owner), np.ndarray):  # a slice keeps all of its owner alive
            owner = base
        return int(owner.nbytes)
    if isinstance(result, tuple):
        return sum(_OVERHEAD + _bytes(part) for part in result)
    if isinstance(result, Mapping):
        return sum(_OVERHEAD + _bytes(part) for part in result.values())
    return len(result) if isinstance(result, str | bytes) else 0
