"""Arrays on pages that this process cannot write to: a stray write ends the process and changes no price.

numpy refuses writes to a read-only array. Compiled code with a wrong index, or a wrong pointer, does not ask numpy: only
the kernel stops it. This needs Linux.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
import weakref
from collections.abc import Mapping
from mmap import PAGESIZE
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_GUARD_BYTES = 2**20
"""Pages without access on both sides of the arrays, so that an index past their end reaches no neighbour."""
_ALIGNMENT = 64
_NO_ACCESS, _READ, _READ_WRITE = 0, 1, 3
_PRIVATE_ANONYMOUS_NORESERVE = 0x02 | 0x20 | 0x4000
_MAYMOVE_FIXED = 1 | 2
_FAILED = ctypes.c_void_p(-1).value


def remap(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Maps arrays a second time, read-only and not copied, where they lie in memory that other processes share.

    Arrays in this process's own memory are copied.

    Args:
        arrays: C-contiguous. Those in shared memory keep that memory alive.

    Returns:
        The same values. Each array keeps the mapping, and the arrays it was made from, alive.

    Raises:
        OSError: the system cannot map memory so.
    """
    libc = _libc()
    shared = _shared_mappings()
    found: dict[str, NDArray[Any]] = {}
    for low, high in shared:
        inside = {name: values for name, values in arrays.items() if low <= _address(values) < high}
        if inside:
            found |= _remap_shared(libc, inside)
    rest = {name: values for name, values in arrays.items() if name not in found}
    found |= copy(rest) if rest else {}
    return {name: found[name] for name in arrays}


def copy(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Copies C-contiguous arrays to read-only pages of this process.

    Raises:
        OSError: the system cannot map memory so.
    """
    offsets, n_bytes = {}, 0
    for name, values in arrays.items():
        offsets[name] = n_bytes
        n_bytes += -(-values.nbytes // _ALIGNMENT) * _ALIGNMENT
    n_bytes = -(-n_bytes // PAGESIZE) * PAGESIZE
    libc = _libc()
    address, buffer = _reserve(libc, n_bytes)
    _protect(libc, address, n_bytes, _READ_WRITE)
    for name, values in arrays.items():
        ctypes.memmove(address + offsets[name], _address(values), values.nbytes)
    _protect(libc, address, n_bytes, _READ)
    return _views(arrays, buffer, offsets)


def _remap_shared(libc: Any, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    low = min(map(_address, arrays.values())) // PAGESIZE * PAGESIZE
    end = max(_address(values) + values.nbytes for values in arrays.values())
    n_bytes = -(-(end - low) // PAGESIZE) * PAGESIZE
    address, buffer = _reserve(libc, n_bytes, keep=arrays)
    # An old size of 0 makes a second mapping of the same pages. Ray closes the descriptor that mmap would need.
    if libc.mremap(low, 0, n_bytes, _MAYMOVE_FIXED, address) == _FAILED:
        raise _error("mremap")
    _protect(libc, address, n_bytes, _READ)
    return _views(arrays, buffer, {name: _address(values) - low for name, values in arrays.items()})


def _libc() -> Any:
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, f"{sys.platform} has no mremap")
    libc = ctypes.CDLL(None, use_errno=True)
    pointer, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    libc.mmap.argtypes, libc.mmap.restype = [pointer, size, number, number, number, ctypes.c_ssize_t], pointer
    libc.mremap.argtypes, libc.mremap.restype = [pointer, size, size, number, pointer], pointer
    libc.mprotect.argtypes, libc.munmap.argtypes = [pointer, size, number], [pointer, size]
    return libc


def _reserve(libc: Any, n_bytes: int, keep: Any = None) -> tuple[int, Any]:
    """Pages without access between guards: their address, and a buffer that unmaps them when nothing refers to it."""
    whole = n_bytes + 2 * _GUARD_BYTES
    start = libc.mmap(None, whole, _NO_ACCESS, _PRIVATE_ANONYMOUS_NORESERVE, -1, 0)
    if start == _FAILED:
        raise _error("mmap")
    buffer = (ctypes.c_char * n_bytes).from_address(start + _GUARD_BYTES)
    weakref.finalize(buffer, _unmap, libc.munmap, start, whole, keep).atexit = False  # threads may still read then
    return start + _GUARD_BYTES, buffer


def _unmap(munmap: Any, start: int, n_bytes: int, keep: Any) -> None:  # noqa: ARG001
    """Frees a mapping; until then `keep` keeps the memory behind it from being used for something else."""
    munmap(start, n_bytes)


def _protect(libc: Any, address: int, n_bytes: int, access: int) -> None:
    if libc.mprotect(address, n_bytes, access) != 0:
        raise _error("mprotect")


def _views(arrays: Mapping[str, NDArray[Any]], buffer: Any, offsets: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    memory = memoryview(buffer).toreadonly()
    return {
        name: np.frombuffer(memory, values.dtype, values.size, offsets[name]).reshape(values.shape)
        for name, values in arrays.items()
    }


def _shared_mappings() -> list[tuple[int, int]]:
    """The addresses, from and to, of all memory that this process shares with others."""
    lines = [line.split(maxsplit=2) for line in Path("/proc/self/maps").read_text().splitlines()]
    spans = [span.split("-") for span, rights, _ in lines if rights.endswith("s")]
    return [(int(low, 16), int(high, 16)) for low, high in spans]


def _address(values: NDArray[Any]) -> int:
    return int(values.__array_interface__["data"][0])


def _error(call: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{call}: {os.strerror(number)}")
