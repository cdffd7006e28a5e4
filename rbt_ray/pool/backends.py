"""Backends by name: each starts pools of workers. Other packages add theirs by entry points of the group `GROUP`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rbt_ray import plugins
from rbt_ray.errors import SettingError
from rbt_ray.nearest import nearest
from rbt_ray.pool.pool import WorkerPool

GROUP = "rbt_ray.backends"
_MODULES = {"local": "rbt_ray.pool.local.pool", "ray": "rbt_ray.pool.ray.pool"}
"""Our own backends: modules with a function `start`, imported when a pool is started."""


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """The settings of `RunConfig` that a backend starts its workers by; see there."""

    num_workers: int | None = None
    address: str | None = None
    num_cpus_per_worker: float = 1
    resources_per_worker: Mapping[str, float] | None = None
    label_selector: Mapping[str, str] | None = None
    runtime_env: Mapping[str, Any] | None = None
    max_workers: int | None = None
    worker_wait_s: float = 900.0
    recycle_after: int | None = None
    worker_memory_limit: int | None = None


def names() -> list[str]:
    """Returns the names of all backends: our own, and those of installed packages."""
    return [*_MODULES, *(name for name in plugins.names(GROUP) if name not in _MODULES)]


def is_known(name: str) -> bool:
    """Returns whether there is a backend of that name; the built-in ones are found without scanning installed packages."""
    return name in _MODULES or name in plugins.names(GROUP)


def start(name: str, settings: PoolSettings) -> WorkerPool:
    """Starts a pool of workers.

    Args:
        name: the name of the backend.
        settings: the settings of the pool.

    Raises:
        SettingError: there is no such backend, or it cannot use these settings.
        InputError: the module of an installed package's backend cannot be imported.
        WorkerStartError: the workers cannot be started.
    """
    make = importlib.import_module(_MODULES[name]).start if name in _MODULES else plugins.load(GROUP, name)
    if make is None:
        raise SettingError(f"`backend` is one of {', '.join(names())}; got {name!r}: {nearest(name, names())}")
    pool: WorkerPool = make(settings)
    return pool
