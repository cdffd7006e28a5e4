"""Which backend "auto" stands for."""

from __future__ import annotations

import os
import sys
from typing import Any


def resolve(backend: str, address: str | None) -> str:
    """The backend: for "auto" Ray where an address is given or this process is on a cluster, else local."""
    if backend != "auto":
        return backend
    on_cluster = _is_connected() or any(
        name in os.environ for name in ("RAY_ADDRESS", "RAY_JOB_ID", "RAY_JOB_CONFIG_JSON_ENV_VAR")
    )
    return "ray" if address is not None or on_cluster else "local"


def _is_connected() -> bool:
    """Whether this process is on a Ray cluster; a Ray that an earlier study started for itself is none."""
    ray: Any = sys.modules.get("ray")
    runtime: Any = sys.modules.get("rbt_ray.pool.ray.runtime")
    return ray is not None and ray.is_initialized() and not (runtime is not None and runtime.is_private())
