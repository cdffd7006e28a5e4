"""The start method of worker processes, and the fork server, which imports once what all workers need."""

from __future__ import annotations

import multiprocessing
import multiprocessing.util
import os
import re
import sys
import tempfile
import threading
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from typing import Any, Literal

from rbt_ray.errors import SettingError
from rbt_ray.pool.process_setup import ONE_THREAD
from rbt_ray.process_limits import LONGEST_SOCKET_PATH

StartMethod = Literal["fork", "forkserver", "spawn"]
VARIABLE = "RBT_RAY_START_METHOD"
WORKER = "rbt-ray-worker"
"""The prefix of the names of worker processes."""
_PRELOAD = {False: "rbt_ray.pool.local.preload", True: "rbt_ray.pool.local.preload_prices"}
"""The module that the fork server imports, without and with what prices need."""

_BELOW = len("/pymp-12345678/listener-12345678")
"""The path of a socket of multiprocessing below the temporary folder."""

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
        prices: whether it has imported what prices need.
        variables: the environment variables that it read when it started.
    """

    pid: int
    prices: bool
    variables: dict[str, str]


_server: _Server | None = None
_kept_open: list[int] = []
"""Descriptors that keep earlier fork servers alive until the driver ends."""


def context_for(wanted: StartMethod | None = None) -> BaseContext:
    """Returns the multiprocessing context in which workers start; starts the fork server if that is to fork them.

    Args:
        wanted: the start method; None: that of the environment variable, else forkserver on Linux and spawn elsewhere.

    Raises:
        SettingError: the environment variable names a start method that this system does not have.
    """
    name = _start_method(wanted)
    if name == "forkserver":
        _ensure_server(prices=preloads_prices())
    return multiprocessing.get_context(name)


def prepare() -> None:
    """Preloads what prices need, half a second of imports, in the process that workers are forked from.

    The fork server does so while the caller continues. Workers that are spawned import by themselves.
    """
    match _start_method():
        case "forkserver":
            _ensure_server(prices=True)
        case "fork":
            from rbt_ray.pool.worker import import_price_modules

            import_price_modules()


def preloads_prices() -> bool:
    """Returns whether the fork server has been started with what prices need."""
    return _server is not None and _server.prices


def _start_method(wanted: StartMethod | None = None) -> str:
    known = multiprocessing.get_all_start_methods()
    name = wanted or os.environ.get(VARIABLE) or ("forkserver" if sys.platform.startswith("linux") else "spawn")
    if name not in known:
        raise SettingError(f"{VARIABLE} is one of {', '.join(known)} here; got {name!r}.")
    return name


def variables_read_at_start() -> dict[str, str]:
    """Returns the environment variables that take effect only in processes started from now on."""
    return {name: value for name, value in os.environ.items() if _READ_AT_START(name) and name not in ONE_THREAD}


def require_children() -> None:
    """Raises an error in a process that cannot have workers.

    A module that runs a study when it is imported would otherwise start a study in every worker that imports it.

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


def _ensure_server(*, prices: bool) -> None:
    """Starts a fork server, unless one of ours runs that has imported the same and has read the same variables."""
    global _server
    from multiprocessing import forkserver

    server: Any = forkserver._forkserver
    variables = variables_read_at_start()
    earlier = None
    with server._lock:
        if server._forkserver_pid is not None and _server != _Server(server._forkserver_pid, prices, variables):
            earlier = server._forkserver_pid, server._forkserver_alive_fd
            server._forkserver_address = server._forkserver_alive_fd = server._forkserver_pid = None
    forkserver.set_forkserver_preload([_PRELOAD[prices]])
    _make_socket_folder()
    forkserver.ensure_running()
    _server = _Server(server._forkserver_pid, prices, variables)
    if earlier is not None:
        _end(*earlier)


def _make_socket_folder() -> None:
    """Creates the folder of multiprocessing's sockets in `/tmp` if the temporary folder's path is too long for them."""
    if len(os.fsencode(tempfile.gettempdir())) + _BELOW <= LONGEST_SOCKET_PATH:
        return
    before = tempfile.tempdir
    tempfile.tempdir = "/tmp"
    try:
        multiprocessing.util.get_temp_dir()  # created once per process
    finally:
        tempfile.tempdir = before


def _end(pid: int, alive: int) -> None:
    """Ends a fork server, after the next one listens: the last one to end removes the folder of their sockets.

    Args:
        pid: the process ID of the server.
        alive: the descriptor that keeps it alive.
    """
    if multiprocessing.active_children():  # the server reports their exit codes
        _kept_open.append(alive)
    else:
        os.close(alive)
        threading.Thread(target=os.waitpid, args=(pid, 0), daemon=True).start()


def _forget_server() -> None:
    """Forgets the fork server in a forked child: it belongs to the parent, which alone can wait for it."""
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
