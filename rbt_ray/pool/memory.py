"""The memory limit of workers: its default, and the messages about it."""

from __future__ import annotations

import psutil

_SHARE = 0.8


def default_memory_limit(n_workers: int) -> int:
    """Returns the bytes for each of `n_workers` workers that share 80 % of the machine's memory evenly."""
    return int(_SHARE * psutil.virtual_memory().total / n_workers)


def memory_exceeded(used: int, limit: int) -> str:
    """Returns the reason for killing a worker that held `used` bytes."""
    return f"out of memory: the worker held {_mib(used)}, the limit is {_mib(limit)} (`worker_memory_limit`)"


def memory_limit_too_low(used: int, limit: int) -> str:
    """Returns the error message for a limit below the `used` bytes of a new worker."""
    return (
        f"`worker_memory_limit` is {_mib(limit)}, and a worker that has done nothing yet holds {_mib(used)}: raise it, "
        f"or use fewer workers."
    )


def _mib(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:,.0f} MiB"
