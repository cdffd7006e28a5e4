"""How worker processes come to be, and the fork server that has loaded what they need before they are asked for."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from multiprocessing.context import BaseContext
from typing import Any, Literal

from rbt_ray.errors import SettingError

StartMethod = Literal["fork", "forkserver", "spawn"]
VARIABLE = "RBT_RAY_START_METHOD"
WORKER = "rbt-ray-worker"
"""How the names of worker processes begin."""
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


def require_children() -> None:
    """Refuses to run a study in a process that cannot have workers.

    A module that runs a study when it is imported would start a study in every worker that imports it.

    Raises:
        SettingError: this process is a worker of a local pool, or a daemon of `multiprocessing`.
    """
    if multiprocessing.current_process().name.startswith(WORKER):
        raise SettingError(
            "a worker of a study cannot run a study of its own. If your module runs a study when it is imported, put these "
            'lines under `if __name__ == "__main__":`. An objective evaluates configs of its own in a loop, or in a '
            "`multiprocessing.Pool`."
        )
    if multiprocessing.current_process().daemon:
        raise SettingError(
            "a study cannot start workers in a daemon of `multiprocessing`, as the workers of `multiprocessing.Pool` are. "
            "Run studies side by side in a `concurrent.futures.ProcessPoolExecutor` or by joblib's default backend, or one "
            "after the other."
        )


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


def _forget_the_server() -> None:
    """In a forked child: the fork server is the parent's. Only the parent can wait for it, and it ends with the parent."""
    global _with_prices
    module: Any = sys.modules.get("multiprocessing.forkserver")
    if module is None or module._forkserver._forkserver_pid is None:
        return
    server = module._forkserver
    server._lock = threading.Lock()
    for descriptor in (server._forkserver_alive_fd, *_outlived):
        os.close(descriptor)
    server._forkserver_address = server._forkserver_alive_fd = server._forkserver_pid = None
    _with_prices = None
    _outlived.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_the_server)
