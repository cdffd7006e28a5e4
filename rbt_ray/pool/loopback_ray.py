"""`python -m rbt_ray.pool.loopback_ray start --head ...`: `ray start` with the Ray Client server on loopback only.

Ray binds that server to the node's address and has no option for it; the dashboard has `--dashboard-host`.
"""

from __future__ import annotations

from typing import Any

import ray._private.services as services
from ray.scripts.scripts import main

LOOPBACK = "127.0.0.1"
_start = services.start_ray_client_server


def _start_on_loopback(address: str, _ip: str, *rest: Any, **named: Any) -> Any:
    return _start(address, LOOPBACK, *rest, **named)


if __name__ == "__main__":
    services.start_ray_client_server = _start_on_loopback
    main()
