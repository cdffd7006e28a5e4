"""How worker processes come to be, and the fork server that has loaded what they need before they are asked for."""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.context import BaseContext
from typing import Any, Literal

from rbt_ray.errors import SettingError

StartMethod = Literal["fork", "forkserver", "spawn"]
VARIABLE = "RBT_RAY_START_METHOD"
_FOR_PRICES = "rbt_ray.pool.preload_prices"

_with_prices: int | None = None
"""The process id of the fork server that has loaded what prices need."""
_outlived: list[int] = []
"""Descriptors at whose end earlier fork servers end: with the driver."""


def context_for(wanted: StartMethod | None = None, *, prices: bool = False) -> BaseContext:
    """The way to start processes: forkserver on Linux, else spawn, unless the caller or the environment says otherwise.

    Args:
        wanted: the start method; None: as above.
        prices: have the fork server load what workers need for prices, too, once for all of them.

    Raises:
        SettingError: the environment names one that this system has not.
    """
    known = multiprocessing.get_all_start_methods()
    name = wanted or os.environ.get(VARIABLE) or ("forkserver" if sys.platform.startswith("linux") else "spawn")
    if name not in known:
        raise SettingError(f"{VARIABLE} is one of {', '.join(known)} here; got {name!r}.")
    context = multiprocessing.get_context(name)
    if name == "forkserver":
        for_prices = [_FOR_PRICES] if prices or _with_prices is not None else []
        context.set_forkserver_preload(["rbt_ray.pool.preload", *for_prices])
        if prices:
            _see_to_a_server_with_prices()
    return context


def prepare() -> None:
    """Starts the fork server, where there is to be one: it loads numpy, numba and the kernels while the caller goes on."""
    context_for(prices=True)


def _see_to_a_server_with_prices() -> None:
    """Starts one, unless it runs. An earlier one cannot load more: it serves its processes on, and no new ones."""
    global _with_prices
    from multiprocessing import forkserver

    server: Any = forkserver._forkserver
    with server._lock:
        if server._forkserver_pid is not None and server._forkserver_pid != _with_prices:
            _outlived.append(server._forkserver_alive_fd)
            server._forkserver_address = server._forkserver_alive_fd = server._forkserver_pid = None
    forkserver.ensure_running()
    _with_prices = server._forkserver_pid
