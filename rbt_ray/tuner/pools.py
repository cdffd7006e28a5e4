"""Pools that are kept after a study, so that the next one in the same driver finds its workers started."""

from __future__ import annotations

import atexit
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

from rbt_ray.pool import backends
from rbt_ray.pool.local import worker_limits
from rbt_ray.pool.local.start_method import preloads_prices, variables_read_at_start
from rbt_ray.pool.pool import WorkerPool
from rbt_ray.tuner.config import RunConfig


def resolve(backend: str, address: str | None) -> str:
    """Returns the backend: for "auto", Ray if an address is given or this process is on a cluster, else local."""
    if backend != "auto":
        return backend
    on_cluster = is_connected() or any(
        name in os.environ for name in ("RAY_ADDRESS", "RAY_JOB_ID", "RAY_JOB_CONFIG_JSON_ENV_VAR")
    )
    return "ray" if address is not None or on_cluster else "local"


def is_connected() -> bool:
    """Returns whether this process is on a Ray cluster; a private Ray that an earlier study started does not count."""
    ray: Any = sys.modules.get("ray")
    runtime: Any = sys.modules.get("rbt_ray.pool.ray.runtime")
    return ray is not None and ray.is_initialized() and not (runtime is not None and runtime.is_private())


@dataclass(frozen=True, slots=True)
class _Idle:
    """An idle pool, and what its workers got from this process when they started; see `_inherited`."""

    pool: WorkerPool
    inherited: tuple[dict[str, str], bool]


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
def pool_for(run_config: RunConfig) -> Iterator[WorkerPool]:
    """Yields a pool with these settings; keeps it for the next study unless the block raises.

    A pool of actors that would hold other resources than CPUs on a shared Ray cluster is closed.

    Args:
        run_config: the settings.
    """
    key, inherited = _key(run_config), _inherited(run_config)
    idle = _idle.pop(key, None)
    if idle is not None and (not idle.pool.is_alive or idle.inherited != inherited):
        idle.pool.close()
        idle = None
    pool = _start(run_config) if idle is None else idle.pool
    try:
        yield pool
    except BaseException:
        pool.close()
        raise
    if not pool.rest():
        pool.close()
        _print_workers_end(run_config)
        return
    mine = idle or _Idle(pool, inherited)
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
        _idle[key] = _Idle(_start(run_config), _inherited(run_config))


def close_idle(run_config: RunConfig) -> None:
    """Closes the idle pool with these settings, if there is one."""
    if (idle := _idle.pop(_key(run_config), None)) is not None:
        idle.pool.close()


def _start(run_config: RunConfig) -> WorkerPool:
    name = backend_of(run_config)
    if name != "local":
        # A process can be on one Ray only, and idle workers hold memory that new ones need.
        for key in [key for key in _idle if key[0] == name]:
            _idle.pop(key).pool.close()
    settings = {field.name: getattr(run_config, field.name) for field in fields(backends.PoolSettings)}
    if name == "ray" and run_config.backend == "auto":
        settings["address"] = run_config.address or "auto"
    return backends.start(name, backends.PoolSettings(**settings))


def _inherited(run_config: RunConfig) -> tuple[dict[str, str], bool]:
    """Returns what workers get from this process only when they start: variables, and local ones preloaded modules."""
    return variables_read_at_start(), backend_of(run_config) == "local" and preloads_prices()


def _key(run_config: RunConfig) -> tuple[object, ...]:
    """Returns the settings that a pool is kept by."""
    resources = tuple(sorted((run_config.resources_per_worker or {}).items()))
    labels = tuple(sorted((run_config.label_selector or {}).items()))
    environment = json.dumps(run_config.runtime_env, sort_keys=True, default=repr)
    names = (
        *("address", "num_workers", "num_cpus_per_worker", "recycle_after", "worker_memory_limit"),
        *("max_workers", "worker_wait_s"),
    )
    return backend_of(run_config), resources, labels, environment, *(getattr(run_config, name) for name in names)


def shutdown() -> None:
    """Ends the idle workers that are kept for the next study, and frees their memory."""
    while _idle:
        _idle.popitem()[1].pool.close()


atexit.register(shutdown)
if hasattr(os, "register_at_fork"):  # a forked child has the pools but not their threads
    os.register_at_fork(after_in_child=_idle.clear)
