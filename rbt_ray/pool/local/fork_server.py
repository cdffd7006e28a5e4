"""Prepares the fork server, once for all workers that it forks."""

from __future__ import annotations

import atexit
import gc
import os
import socket
import stat
import sys
from contextlib import suppress
from pathlib import Path

from rbt_ray.pool import process_setup

_PREFIX = "pymp-"
"""The prefix of multiprocessing's temporary folders."""


def prepare(*, prices: bool) -> None:
    """Sets up this process, imports what workers need, and does once what each worker would otherwise do in its own memory.

    A page of memory is shared until a process writes to it, which a new reference to an object on it does as well.

    Args:
        prices: whether workers evaluate on prices, which takes half a second of imports.
    """
    process_setup.ignore_terminal_signals()
    process_setup.use_one_thread()  # before imports that read these settings
    process_setup.keep_freed_memory()
    _remove_socket_at_exit()
    import multiprocessing.popen_forkserver  # noqa: F401 - each worker imports it when it starts

    from rbt_ray.pool import worker
    from rbt_ray.pool.local import warm_up

    if prices:
        worker.import_price_modules()
    warm_up.evaluate_trials(prices=prices)
    _record_modules()


def _record_modules() -> None:
    """Records facts about all loaded modules, after the last import, and exempts their objects from garbage collection."""
    from rbt_ray.objectives.interpreter import Interpreter
    from rbt_ray.pool import shipped_code

    Interpreter()
    shipped_code.remember()
    sys.path_importer_cache.clear()  # a worker invalidates all of it, and fills it again only when it imports
    gc.collect()
    gc.freeze()


def _remove_socket_at_exit() -> None:
    """Registers the removal of this fork server's socket and folder, which its driver leaves behind if it is killed.

    It does not check whether the driver runs: when the fork server ends, another process may have the process ID of the driver.
    """
    path = _listening_socket()
    if path is not None and path.parent.name.startswith(_PREFIX):
        atexit.register(_remove, path)  # forked workers exit without this


def _remove(path: Path) -> None:
    """Removes a socket, and its folder if that is empty: a process shares the folder with its children's fork servers."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
        path.parent.rmdir()


def _listening_socket() -> Path | None:
    """Returns the path of the Unix socket on which this process listens; None if there is none."""
    descriptors = Path("/proc/self/fd")
    for link in sorted(descriptors.iterdir()) if descriptors.exists() else ():
        with suppress(OSError):
            number = int(link.name)
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                with socket.socket(fileno=os.dup(number)) as listener:
                    listens = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                    if listens and listener.family == socket.AF_UNIX:
                        return Path(listener.getsockname())
    return None
