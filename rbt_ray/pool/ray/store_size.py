"""Warns before a study starts if its prices do not fit into the object stores that hold them."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import ray

_SHARED_MEMORY = Path("/dev/shm")


def warn_of_small_stores(n_bytes: int, what: str, *, own: bool) -> None:
    """Warns if an object is larger than the object store of a node: Ray then keeps it in files on that node's disk.

    Nodes that join later are not checked.

    Args:
        n_bytes: of the object.
        what: the object, as the subject of a sentence with a plural verb.
        own: whether the Ray is our own, on this machine.
    """
    stores = [
        (node["Resources"].get("object_store_memory", 0.0), node["NodeManagerHostname"])
        for node in ray.nodes()
        if node["Alive"]
    ]
    small = [store for store in stores if store[0] < n_bytes]
    if small:
        size, host = min(small)
        others = f" and {len(small) - 1} more" if len(small) > 1 else ""
        do = (
            "Set `backend='local'`, whose workers map the prices from their file, or give the container more memory"
            if own
            else f"Start Ray there with `--object-store-memory={_needed(n_bytes)}`, and a container with a larger `--shm-size`"
        )
        warnings.warn(
            f"{what} take {_gb(n_bytes)}, and the object store of {host}{others} holds {_gb(size)}: Ray keeps them in "
            f"files on its disk, which may be slow or full. {do}.",
            RuntimeWarning,
            stacklevel=2,
        )
    elif own and (size := _shared_memory()) is not None and size < n_bytes:
        warnings.warn(
            f"{what} take {_gb(n_bytes)}, and {_SHARED_MEMORY} holds {_gb(size)}: Ray keeps them in files on the disk, which may "
            f"be slow or full. Start the container with `--shm-size={_needed(n_bytes)}`, or set `backend='local'`, whose "
            f"workers map the prices from their file.",
            RuntimeWarning,
            stacklevel=2,
        )


def _shared_memory() -> int | None:
    """Returns the size of this machine's shared memory in bytes; None if it has none."""
    try:
        found = os.statvfs(_SHARED_MEMORY)
    except (OSError, AttributeError):  # another system than Linux
        return None
    return found.f_blocks * found.f_frsize


def _needed(n_bytes: int) -> int:
    """Returns a size with room for other objects, in bytes."""
    return int(1.25 * n_bytes) + (100 << 20)


def _gb(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:,.2f} GB"
