"""How kernels are compiled: to one fixed signature, cached on disk, without fastmath."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba import boolean, float64, int64

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

# Read-only is the wider type: numba passes writable arrays too, so mapped bundles and fresh arrays share one binary.
VECTOR = numba.types.Array(float64, 1, "C", readonly=True)
TABLE = numba.types.Array(float64, 2, "C", readonly=True)
COUNTS = numba.types.Array(int64, 1, "C", readonly=True)
NUMBER, INTEGER, FLAG = float64, int64, boolean


def compiled(*argument_types: Any) -> Callable[[Kernel], Kernel]:
    """A decorator that compiles a function for exactly these argument types.

    Without fastmath a sum is taken in the order it is written in, so that a prefix gives the same bits. The numpy
    error model leaves out the zero-division test in every inner loop, which would keep it from being vectorised.
    """
    return cast(
        "Callable[[Kernel], Kernel]",
        numba.njit([argument_types], cache=True, nogil=True, error_model="numpy"),
    )
