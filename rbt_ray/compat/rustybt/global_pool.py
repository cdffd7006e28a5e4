"""One pool for all who ask for the same number of processes: nobody waits for processes twice."""

from __future__ import annotations

import atexit
import threading

from rbt_ray.compat.rustybt.worker_pool import PersistentWorkerPool
from rbt_ray.pool.local.pool import usable_cpus

_pools: dict[tuple[int, int | None], PersistentWorkerPool] = {}
_lock = threading.Lock()


def get_global_pool(processes: int | None = None, maxtasksperchild: int | None = None) -> PersistentWorkerPool:
    """The pool with so many processes, made when first asked for, ended by `cleanup_global_pool` or at exit.

    Args:
        processes: how many; None: one for each core this process may use.
        maxtasksperchild: calls after which a process is replaced; None: never.
    """
    key = usable_cpus() if processes is None else processes, maxtasksperchild
    with _lock:
        if key not in _pools or _pools[key].closed:
            _pools[key] = PersistentWorkerPool(key[0], maxtasksperchild=maxtasksperchild)
        return _pools[key]


def cleanup_global_pool() -> None:
    """Ends the processes of all pools that `get_global_pool` gave out."""
    with _lock:
        while _pools:
            pool = _pools.popitem()[1]
            pool.terminate()
            pool.join()


atexit.register(cleanup_global_pool)
