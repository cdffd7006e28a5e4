"""Compiles kernels: to one fixed signature, cached on disk, without fastmath."""

from __future__ import annotations

import functools
import hashlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba import boolean, float64, int64
from numba.core.caching import FunctionCache

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

# Read-only is the wider type: numba passes writable arrays too, so mapped bundles and new arrays share one binary.
VECTOR = numba.types.Array(float64, 1, "C", readonly=True)
TABLE = numba.types.Array(float64, 2, "C", readonly=True)
COUNTS = numba.types.Array(int64, 1, "C", readonly=True)
NUMBER, INTEGER, FLAG = float64, int64, boolean

_IMPORT = re.compile(r"^from ([\w.]+) import (\([^)]*\)|.*)", re.MULTILINE)


class _KernelCache(FunctionCache):  # type: ignore[misc]
    """Numba's cache of machine code, which also depends on the modules that a kernel's module imports.

    Numba compares the file of the kernel alone, but a kernel contains the functions and constants that it imports.

    Args:
        function: the kernel.
        contents: identifies what the kernel contains of other code, such as a user's; None for nothing.
    """

    def __init__(self, function: Callable[..., Any], contents: str | None) -> None:
        super().__init__(function)
        self._cache_file._source_stamp = sources_digest(function.__module__)
        self._contents = contents

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        if self._contents is None:
            return super()._index_key(sig, codegen)
        # Numba pickles what a closure contains, whose bytes differ between processes.
        return sig, codegen.magic_tuple(), self._contents


def compiled(*argument_types: Any, contents: str | None = None) -> Callable[[Kernel], Kernel]:
    """Returns a decorator that compiles a function for exactly these argument types.

    Args:
        argument_types: Numba's types.
        contents: for a closure: identifies what it contains of other code, as text without spaces. It becomes part of its name,
            as two kernels of the same name may not be loaded into one process.

    Without fastmath, sums are added in the order of the source, so that a prefix gives the same bits. The numpy error
    model omits the test for a zero divisor, which would prevent vectorisation of inner loops.
    """

    def decorate(function: Kernel) -> Kernel:
        if numba.config.DISABLE_JIT:
            return function
        if contents is not None:
            function.__qualname__ = function.__name__ = f"{function.__name__}_{contents}"
        kernel = numba.njit(nogil=True, error_model="numpy")(function)
        kernel._cache = _KernelCache(function, contents)
        kernel.compile(argument_types)
        kernel.disable_compile()
        return cast("Kernel", kernel)

    return decorate


def sources_digest(module: str) -> bytes:
    """Returns a hash of the sources of a module and of those it imports from its own top-level package, directly or not."""
    package = module.partition(".")[0]
    waiting, seen = [module], {module}
    while waiting:
        imported = {name for name in _imports(waiting.pop()) if name.partition(".")[0] == package} - seen
        waiting += imported
        seen |= imported
    total = hashlib.sha256()
    for name in sorted(seen):
        total.update(f"{name}\n{_source(name)}\n".encode())
    return total.digest()


@functools.cache
def _source(module: str) -> str:
    return Path(str(sys.modules[module].__file__)).read_text(encoding="utf-8")


@functools.cache
def _imports(module: str) -> frozenset[str]:
    """Names of the loaded modules that the import statements at the top level of a module mean."""
    found = {
        name
        for base, names in _IMPORT.findall(_source(module))
        for name in (base, *(f"{base}.{one}" for one in re.findall(r"\w+", names)))
    }
    return frozenset(name for name in found if name in sys.modules)
