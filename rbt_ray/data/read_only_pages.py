"""Arrays on memory pages that this process cannot write to: a stray write ends the process and changes no price.

numpy refuses writes to a read-only array, but not writes of compiled code with a wrong index or pointer: only the kernel
stops those. This needs Linux.
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
"""Inaccessible memory on both sides of the arrays, so that an index past their end reaches no other array."""
_ALIGNMENT = 64
_NO_ACCESS, _READ, _READ_WRITE = 0, 1, 3
_PRIVATE_ANONYMOUS_NORESERVE = 0x02 | 0x20 | 0x4000
_MAYMOVE_FIXED = 1 | 2
_FAILED = ctypes.c_void_p(-1).value


def remap(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Map arrays that are in shared memory a second time, read-only and without a copy. Copy other arrays.

    Args:
        arrays: C-contiguous; those in shared memory keep it alive.

    Returns:
        Arrays of the same values, which keep the mapping and the original arrays alive.

    Raises:
        OSError: the system cannot map memory this way.
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
    """Copy C-contiguous arrays to read-only pages of this process.

    Raises:
        OSError: the system cannot map memory this way.
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
    # With an old size of 0, mremap maps the same pages a second time. Ray closes the descriptor that mmap would need.
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
    """Reserves inaccessible pages between guards; returns their address, and a buffer that unmaps them when it is collected."""
    whole = n_bytes + 2 * _GUARD_BYTES
    start = libc.mmap(None, whole, _NO_ACCESS, _PRIVATE_ANONYMOUS_NORESERVE, -1, 0)
    if start == _FAILED:
        raise _error("mmap")
    buffer = (ctypes.c_char * n_bytes).from_address(start + _GUARD_BYTES)
    weakref.finalize(
        buffer, _unmap, libc.munmap, start, whole, keep
    ).atexit = False  # other threads may still read at exit
    return start + _GUARD_BYTES, buffer


def _unmap(munmap: Any, start: int, n_bytes: int, keep: Any) -> None:  # noqa: ARG001
    """Frees a mapping; until then `keep` keeps the mapped memory alive."""
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
    """Returns the start and end addresses of the shared mappings of this process."""
    lines = [line.split(maxsplit=2) for line in Path("/proc/self/maps").read_text().splitlines()]
    spans = [span.split("-") for span, rights, _ in lines if rights.endswith("s")]
    return [(int(low, 16), int(high, 16)) for low, high in spans]


def _address(values: NDArray[Any]) -> int:
    return int(values.__array_interface__["data"][0])


def _error(call: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{call}: {os.strerror(number)}")
