"""What is asked of memory, before it is asked: a small file can speak of more prices than any machine holds."""

from __future__ import annotations

import sys

import psutil

from rbt_ray.errors import BundleError

MOST_COLUMNS = 100_000
"""More stand in no table of prices: about as many stocks as are listed in the world."""
_SHARE = 0.5  # of a bundle there are two for a moment: as it was read, and as it is kept


def check_bytes(needed: int, what: str, hint: str) -> None:
    """Refuse what does not fit into memory.

    Args:
        needed: bytes.
        what: what would need them, as the beginning of a sentence.
        hint: what to do, as a sentence.

    Raises:
        BundleError: it takes more than half of the memory that is free now.
    """
    free = free_bytes()
    if needed > _SHARE * free:
        raise BundleError(f"{what} would take {_gb(needed)} of memory, and {_gb(free)} are free. {hint}")


def free_bytes() -> int:
    """Bytes that this process can still have: what the machine has left, or what a limit of the process leaves."""
    free = int(psutil.virtual_memory().available)
    if sys.platform != "win32":
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            free = min(free, max(limit - int(psutil.Process().memory_info().vms), 0))
    return free


def check_columns(n_columns: int, name: str) -> None:
    """Refuse a table with more columns than anybody has symbols.

    Raises:
        BundleError: there are more than `MOST_COLUMNS`.
    """
    if n_columns > MOST_COLUMNS:
        raise BundleError(
            f"{name} has {n_columns:,} columns; at most {MOST_COLUMNS:,} can be read. Is it a table of prices? "
            "One with many symbols has a column `symbol`."
        )


def _gb(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:,.1f} GB"
