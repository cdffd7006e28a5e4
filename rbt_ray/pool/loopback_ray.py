"""Runs `ray start` with the Ray Client server on loopback only: `python -m rbt_ray.pool.loopback_ray start --head ...`.

Ray binds that server to the node's address and has no option for it; the dashboard has `--dashboard-host`. The server also
starts without gRPC's fork handlers. One of its threads forks a process for each client; with these handlers that process
sometimes ends in a segmentation fault, mostly for the first client (Ray 2.60, grpcio 1.85).
"""

from __future__ import annotations

import os
from typing import Any

import ray._private.services as services
from ray.scripts.scripts import main

LOOPBACK = "127.0.0.1"
_NO_FORK_HANDLERS = {"GRPC_ENABLE_FORK_SUPPORT": "0"}
_start = services.start_ray_client_server


def _start_on_loopback(address: str, _ip: str, *rest: Any, **named: Any) -> Any:
    before = dict(os.environ)
    os.environ.update(_NO_FORK_HANDLERS)
    try:
        return _start(address, LOOPBACK, *rest, **named)
    finally:
        os.environ.clear()
        os.environ.update(before)


if __name__ == "__main__":
    services.start_ray_client_server = _start_on_loopback
    main()
