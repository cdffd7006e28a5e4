"""How much memory a worker may hold, and what is said of one that holds more."""

from __future__ import annotations

import psutil

_SHARE = 0.8


def default_memory_limit(n_workers: int) -> int:
    """Bytes for each of so many workers, when together they may hold 80 % of the machine's memory."""
    return int(_SHARE * psutil.virtual_memory().total / n_workers)


def memory_exceeded(used: int, limit: int) -> str:
    """Why a worker that held so many bytes was ended."""
    return f"out of memory: the worker held {_mib(used)}, the limit is {_mib(limit)} (`worker_memory_limit`)"


def memory_limit_too_low(used: int, limit: int) -> str:
    """Why no study can be run with a limit below what a fresh worker holds."""
    return (
        f"`worker_memory_limit` is {_mib(limit)}, and a worker that has done nothing yet holds {_mib(used)}: raise it, "
        f"or use fewer workers."
    )


def _mib(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:,.0f} MiB"
