"""Limits of this process: the `ulimit` of address space and open files, checked before libraries are loaded; socket paths.

A library that cannot map its code or start its threads kills the process or hangs, and raises no error that could be
explained.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rbt_ray.errors import ResourceError

MIB = 2**20
READER_BYTES, WORKER_BYTES = 400 * MIB, 1024 * MIB
"""Address space that a process needs to read prices or studies, and to run studies with workers."""
READER_FILES, WORKER_FILES = 24, 48
"""Descriptors that it needs in addition to the open ones; each worker needs 4 more."""

LONGEST_SOCKET_PATH = 103 if sys.platform == "darwin" else 107
"""Bytes that the path of a Unix socket has at most."""


def check(needed_bytes: int = READER_BYTES, needed_files: int = READER_FILES) -> None:
    """Refuses to start if a limit of this process is too low.

    Args:
        needed_bytes: the address space that the process needs.
        needed_files: the descriptors that it needs in addition to the open ones.

    Raises:
        ResourceError: a limit is lower; the message names the limit and how to raise it.
    """
    if (limit := address_space()) is not None and limit < needed_bytes:
        raise ResourceError(
            f"this needs {needed_bytes // MIB:,} MiB of address space, and the limit of this process is "
            f"{limit // MIB:,} MiB. Raise it (`ulimit -v`)."
        )
    if (free := free_descriptors()) is not None and free < needed_files:
        raise ResourceError(
            f"this opens up to {needed_files:,} files, and the limit of this process leaves {free:,}. "
            f"Raise it (`ulimit -n`)."
        )


def address_space() -> int | None:
    """Returns the limit on the address space in bytes; None if there is none."""
    if sys.platform == "win32":
        return None
    import resource

    return _limited(resource.RLIMIT_AS)


def free_descriptors() -> int | None:
    """Returns how many more files this process may open; None if there is no limit."""
    if sys.platform == "win32":
        return None
    import resource

    limit = _limited(resource.RLIMIT_NOFILE)
    return None if limit is None else max(0, limit - _open_files(limit))


def _open_files(limit: int) -> int:
    try:
        return len(list(Path("/dev/fd").iterdir()))
    except FileNotFoundError:
        return 0
    except OSError:  # no descriptor is left for listing the folder
        return limit


def _limited(kind: int) -> int | None:
    import resource

    soft, _ = resource.getrlimit(kind)
    return None if soft == resource.RLIM_INFINITY else soft
