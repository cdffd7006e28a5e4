"""Rejects inputs that do not fit in memory, before anything is allocated: a small file can declare any number of prices."""

from __future__ import annotations

import sys

import psutil

from rbt_ray.errors import BundleError

MOST_COLUMNS = 100_000
"""Above all tables of prices: about the number of listed stocks in the world."""
_SHARE = 0.5  # a bundle is in memory twice for a moment: as read, and as stored


def check_bytes(needed: int, what: str, hint: str) -> None:
    """Refuse data that does not fit in memory.

    Args:
        needed: bytes.
        what: the data, as the beginning of a sentence.
        hint: what to do, as a sentence.

    Raises:
        BundleError: the data takes more than half of the free memory.
    """
    free = free_bytes()
    if needed > _SHARE * free:
        raise BundleError(f"{what} would take {_gb(needed)} of memory, and {_gb(free)} are free. {hint}")


def free_bytes() -> int:
    """Returns how many bytes this process can allocate: the machine's free memory, or less under a limit of the process."""
    free = int(psutil.virtual_memory().available)
    if sys.platform != "win32":
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            free = min(free, max(limit - int(psutil.Process().memory_info().vms), 0))
    return free


def check_columns(n_columns: int, name: str) -> None:
    """Refuse a table with more columns than a table of prices has.

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
