"""Pools that are kept after a study, so that the next one in the same driver finds its workers started."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rbt_ray.pool.local import worker_limits
from rbt_ray.pool.local.start_method import variables_read_at_start
from rbt_ray.pool.pool import WorkerPool
from rbt_ray.tuner.config import RunConfig


def resolve(backend: str, address: str | None) -> str:
    """Returns the backend: for "auto", Ray if an address is given or this process is on a cluster, else local."""
    if backend != "auto":
        return backend
    on_cluster = _is_connected() or any(
        name in os.environ for name in ("RAY_ADDRESS", "RAY_JOB_ID", "RAY_JOB_CONFIG_JSON_ENV_VAR")
    )
    return "ray" if address is not None or on_cluster else "local"


def _is_connected() -> bool:
    """Returns whether this process is on a Ray cluster; a private Ray that an earlier study started does not count."""
    ray: Any = sys.modules.get("ray")
    runtime: Any = sys.modules.get("rbt_ray.pool.ray.runtime")
    return ray is not None and ray.is_initialized() and not (runtime is not None and runtime.is_private())


@dataclass(frozen=True, slots=True)
class _Idle:
    """An idle pool, the variables its workers read at their start, and whether they have loaded the libraries for prices."""

    pool: WorkerPool
    variables: dict[str, str]
    prices: bool


_idle: dict[tuple[object, ...], _Idle] = {}
_was_printed = False


def backend_of(run_config: RunConfig) -> str:
    """Returns the backend of a run; see `resolve`."""
    return resolve(run_config.backend, run_config.address)


def check_workers(run_config: RunConfig) -> None:
    """Refuses a number of local workers that cannot be started; see `worker_limits.check`."""
    if run_config.num_workers is not None and backend_of(run_config) == "local":
        worker_limits.check(run_config.num_workers, run_config.worker_memory_limit)


@contextmanager
def pool_for(run_config: RunConfig, *, prices: bool) -> Iterator[WorkerPool]:
    """Yields a pool with these settings; keeps it for the next study unless the block raises.

    A pool of actors that would hold other resources than CPUs on a shared Ray cluster is closed.

    Args:
        run_config: the settings.
        prices: whether the study reads prices; local workers that were started without are then replaced.
    """
    key, variables = _key(run_config), variables_read_at_start()
    idle = _idle.pop(key, None)
    lacks = prices and idle is not None and not idle.prices
    if idle is not None and (lacks or not idle.pool.is_alive or idle.variables != variables):
        idle.pool.close()
        idle = None
    pool = _start(run_config, prices=prices) if idle is None else idle.pool
    try:
        yield pool
    except BaseException:
        pool.close()
        raise
    if not pool.rest():
        pool.close()
        _print_workers_end(run_config)
        return
    mine = idle or _Idle(pool, variables, prices or key[0] == "ray")  # Ray actors always load the libraries for prices
    if _idle.setdefault(key, mine) is not mine:
        pool.close()  # two studies ran at once; one idle pool with these settings is enough


def _print_workers_end(run_config: RunConfig) -> None:
    global _was_printed
    if not _was_printed:
        _was_printed = True
        print(
            f"rbt-ray: the workers end with each study, because idle ones would hold {run_config.resources_per_worker}, which "
            f"other tasks on this Ray cluster may need. The next study starts new ones.",
            file=sys.stderr,
        )


def start_idle(run_config: RunConfig) -> None:
    """Starts a pool with these settings, for the next study."""
    key = _key(run_config)
    if key not in _idle:
        _idle[key] = _Idle(_start(run_config, prices=True), variables_read_at_start(), prices=True)


def close_idle(run_config: RunConfig) -> None:
    """Closes the idle pool with these settings, if there is one."""
    if (idle := _idle.pop(_key(run_config), None)) is not None:
        idle.pool.close()


def _start(run_config: RunConfig, *, prices: bool) -> WorkerPool:
    if backend_of(run_config) == "ray":
        from rbt_ray.pool.ray.pool import RayPool

        # A process can be on one Ray only, and idle actors hold memory that new ones need.
        for key in [key for key in _idle if key[0] == "ray"]:
            _idle.pop(key).pool.close()
        address = run_config.address or ("auto" if run_config.backend == "auto" else None)
        return RayPool(
            run_config.num_workers,
            address=address,
            num_cpus_per_worker=run_config.num_cpus_per_worker,
            resources_per_worker=run_config.resources_per_worker,
            recycle_after=run_config.recycle_after,
            memory_limit=run_config.worker_memory_limit,
            prices=prices,
        )
    from rbt_ray.pool.local.pool import LocalPool, usable_cpus

    n_workers = run_config.num_workers or max(1, usable_cpus() // run_config.num_cpus_per_worker)
    worker_limits.check(n_workers, run_config.worker_memory_limit)
    return LocalPool(
        n_workers, recycle_after=run_config.recycle_after, memory_limit=run_config.worker_memory_limit, prices=prices
    )


def _key(run_config: RunConfig) -> tuple[object, ...]:
    """Returns the settings that a pool is kept by."""
    resources = tuple(sorted((run_config.resources_per_worker or {}).items()))
    names = ("address", "num_workers", "num_cpus_per_worker", "recycle_after", "worker_memory_limit")
    return backend_of(run_config), resources, *(getattr(run_config, name) for name in names)


def shutdown() -> None:
    """Ends the idle workers that are kept for the next study, and frees their memory."""
    while _idle:
        _idle.popitem()[1].pool.close()


atexit.register(shutdown)
if hasattr(os, "register_at_fork"):  # a forked child has the pools but not their threads
    os.register_at_fork(after_in_child=_idle.clear)
