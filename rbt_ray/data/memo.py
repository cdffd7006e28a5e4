"""Memo: a cache of results on a worker, limited by bytes; the least recently used results are dropped first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rbt_ray.errors import InputError

MIB = 2**20
ABSENT: Final = object()
"""`get` returns it for a key that is not in the cache; None is a result."""
_OVERHEAD = 512
"""Bytes counted for each key and its bookkeeping, so that the limit also holds for a million numbers."""


class Memo:
    """A cache that drops the least recently used results when all take more than `capacity` bytes.

    Attributes:
        capacity: the limit, in bytes.
        nbytes: the size of all results, in bytes.
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
        """Returns the result stored under `key`, or `ABSENT`."""
        entry = self._entries.get(key)
        if entry is None:
            return ABSENT
        try:  # noqa: SIM105 - suppress() would take as long as all the rest
            self._entries.move_to_end(key)
        except KeyError:  # another thread has just dropped it
            pass
        return entry[0]

    def put(self, key: Hashable, result: Any, nbytes: int | None = None) -> None:
        """Store an immutable result, unless it is larger than the capacity.

        Args:
            key: hashable.
            result: a result of `freeze`, or any object of known size.
            nbytes: the size of the object; None for a result of `freeze`, whose size is computed.
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


def name_of(fn: Callable[..., Any]) -> str:
    """Returns the name of a function, for messages."""
    return getattr(fn, "__name__", None) or repr(fn)


def not_hashable(fn: Callable[..., Any], args: tuple[Any, ...]) -> InputError:
    """Returns the error for a function of `data.memo` or for arguments that cannot be a key."""
    shown = ", ".join(type(arg).__name__ for arg in args)
    return InputError(
        f"`data.memo({name_of(fn)}, ...)`: arguments must be hashable, like numbers, strings and tuples; got {shown}. Pass a "
        f"tuple instead of a list, and the name of a field instead of an array."
    )


def freeze(result: Any, maker: str) -> Any:
    """Returns the result with read-only arrays and mappings: trials share it.

    Args:
        result: an array, number, string, None, or a tuple or dict of them.
        maker: the name of the function that returned it, for the message.

    Raises:
        InputError: a trial could change the result for later trials.
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
        f"`data.memo({maker}, ...)`: a cached result must be an array, a number, a string, None, or a tuple or dict of "
        f"them, since trials share it and must not change it; got {type(result).__name__}. Return arrays "
        "(frame.to_numpy()) or a tuple of them."
    )


def as_read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Returns a view of a read-only buffer, for which numpy refuses `setflags(write=True)`."""
    if array.dtype.kind not in "biufc":  # dates do not support the buffer protocol
        return array
    return np.asarray(array.data.toreadonly())


def _base(array: NDArray[Any]) -> Any:
    return array.base.obj if isinstance(array.base, memoryview) else array.base


def _bytes(result: Any) -> int:
    if isinstance(result, np.ndarray):
        owner: Any = result
        while isinstance(base := _base(owner), np.ndarray):  # a slice keeps its whole base alive
            owner = base
        return int(owner.nbytes)
    if isinstance(result, tuple):
        return sum(_OVERHEAD + _bytes(part) for part in result)
    if isinstance(result, Mapping):
        return sum(_OVERHEAD + _bytes(part) for part in result.values())
    return len(result) if isinstance(result, str | bytes) else 0
