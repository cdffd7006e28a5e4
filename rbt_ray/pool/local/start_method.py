"""How worker processes come to be, and the fork server that has loaded what they need before they are asked for."""

from __future__ import annotations

import multiprocessing
import os
import re
import sys
import threading
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from typing import Any, Literal

from rbt_ray.errors import SettingError
from rbt_ray.pool.process_setup import ONE_THREAD

StartMethod = Literal["fork", "forkserver", "spawn"]
VARIABLE = "RBT_RAY_START_METHOD"
WORKER = "rbt-ray-worker"
"""How the names of worker processes begin."""
_FIRST, _FOR_PRICES, _LAST = (
    "rbt_ray.pool.local.preload",
    "rbt_ray.pool.preload_prices",
    "rbt_ray.pool.local.preload_last",
)

_READ_AT_START = re.compile(
    "PYTHON(?!BREAKPOINT)|LD_|DYLD_|LC_|LANG|MALLOC_|GLIBC_|TMP|TEMP|"
    "OMP_|GOMP_|KMP_|MKL_|OPENBLAS_|GOTO_|BLIS_|VECLIB_|NPY_|NUMPY_|NUMBA_|NUMEXPR_|LLVM_|ARROW_"
).match
"""Variables that Python, the C library and what the fork server loads read once, when they start."""


@dataclass(frozen=True, slots=True)
class _Server:
    """A fork server of ours.

    Args:
        pid: its process id.
        prices: whether it has loaded what prices need.
        variables: those that it read when it started.
    """

    pid: int
    prices: bool
    variables: dict[str, str]


_server: _Server | None = None
_kept_open: list[int] = []
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
        prices = prices or (_server is not None and _server.prices)
        context.set_forkserver_preload([_FIRST, *([_FOR_PRICES] if prices else []), _LAST])
        _ensure_server(prices)
    return context


def variables_read_at_start() -> dict[str, str]:
    """Returns the environment variables that no running process would follow."""
    return {name: value for name, value in os.environ.items() if _READ_AT_START(name) and name not in ONE_THREAD}


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


def _ensure_server(prices: bool) -> None:
    """Starts a fork server, unless one of ours runs that has loaded enough and has read the same variables."""
    global _server
    from multiprocessing import forkserver

    server: Any = forkserver._forkserver
    variables = variables_read_at_start()
    earlier = None
    with server._lock:
        if server._forkserver_pid is not None and _server != _Server(server._forkserver_pid, prices, variables):
            earlier = server._forkserver_pid, server._forkserver_alive_fd
            server._forkserver_address = server._forkserver_alive_fd = server._forkserver_pid = None
    forkserver.ensure_running()
    _server = _Server(server._forkserver_pid, prices, variables)
    if earlier is not None:
        _end(*earlier)


def _end(pid: int, alive: int) -> None:
    """Ends a fork server once another listens: the last one removes the folder of their sockets.

    Args:
        pid: the server's process id.
        alive: the descriptor at whose end the server ends.
    """
    if multiprocessing.active_children():  # it has to report how they end
        _kept_open.append(alive)
    else:
        os.close(alive)
        threading.Thread(target=os.waitpid, args=(pid, 0), daemon=True).start()


def _forget_server() -> None:
    """In a forked child: the fork server is the parent's. Only the parent can wait for it, and it ends with the parent."""
    global _server
    module: Any = sys.modules.get("multiprocessing.forkserver")
    if module is None or module._forkserver._forkserver_pid is None:
        return
    server = module._forkserver
    server._lock = threading.Lock()
    for descriptor in (server._forkserver_alive_fd, *_kept_open):
        os.close(descriptor)
    server._forkserver_address = server._forkserver_alive_fd = server._forkserver_pid = None
    _server = None
    _kept_open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_server)
