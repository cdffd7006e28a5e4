"""Pools that outlive a study: the next one in the same driver finds their workers warm."""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rbt_ray.pool.pool import WorkerPool
from rbt_ray.tune.config import RunConfig
from rbt_ray.tune.modules import Modules, changed, user_modules


@dataclass(frozen=True, slots=True)
class _Idle:
    """A pool that waits, with the user's modules its workers may have loaded."""

    pool: WorkerPool
    modules: Modules


_idle: dict[tuple[object, ...], _Idle] = {}


def backend_of(run_config: RunConfig) -> str:
    """The backend that "auto" stands for here."""
    return "local" if run_config.backend == "auto" else run_config.backend


@contextmanager
def pool_for(run_config: RunConfig) -> Iterator[WorkerPool]:
    """A pool with these settings, kept for the next study unless this one breaks off with an error."""
    key, modules = _key(run_config), user_modules()
    idle = _idle.pop(key, None)
    if idle is not None and changed(idle.modules, modules):
        idle.pool.close()
        idle = None
    pool = _start(run_config) if idle is None else idle.pool
    try:
        yield pool
    except BaseException:
        pool.close()
        raise
    mine = _Idle(pool, modules if idle is None else {**idle.modules, **modules})
    if _idle.setdefault(key, mine) is not mine:
        pool.close()  # two studies ran at once; one warm pool of a kind is enough


def warm(run_config: RunConfig) -> None:
    """Starts a pool with these settings, for the next study to find."""
    key = _key(run_config)
    if key not in _idle:
        _idle[key] = _Idle(_start(run_config), {})


def _start(run_config: RunConfig) -> WorkerPool:
    from rbt_ray.pool.local_pool import LocalPool

    return LocalPool(
        _n_workers(run_config), recycle_after=run_config.recycle_after, memory_limit=run_config.worker_memory_limit
    )


def _n_workers(run_config: RunConfig) -> int:
    from rbt_ray.pool.local_pool import usable_cpus

    return run_config.num_workers or max(1, usable_cpus() // run_config.num_cpus_per_worker)


def _key(run_config: RunConfig) -> tuple[object, ...]:
    return _n_workers(run_config), run_config.recycle_after, run_config.worker_memory_limit


def shutdown() -> None:
    """Ends the workers that wait for a next study, and frees what they hold."""
    while _idle:
        _idle.popitem()[1].pool.close()


atexit.register(shutdown)
