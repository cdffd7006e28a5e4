"""How a worker process settles in: quiet, one thread, no page faults, never an orphan."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.connection import Connection
from os import _exit, getpid, getppid  # an objective can replace them in their module
from typing import Any

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS")

# glibc's <malloc.h>. With the defaults a numpy temporary above 128 KiB is mapped and unmapped again at every use,
# and each use pays its page faults anew.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_KEEP_UP_TO = 256 * 2**20


def use_one_thread() -> None:
    """Pins BLAS, OpenMP and numba to one thread: the workers already fill the cores. Before numpy loads."""
    for name in ONE_THREAD:
        os.environ[name] = "1"
    numba = sys.modules.get("numba")
    if (
        numba is not None and numba.config.NUMBA_NUM_THREADS > 1
    ):  # loaded before a fork, it had read the variable already
        numba.set_num_threads(1)  # only where it must be: it makes a semaphore that outlives a killed worker


def keep_freed_memory() -> None:
    """Raises glibc's malloc thresholds, so that freed temporaries are used again rather than returned."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEEP_UP_TO)
        mallopt(_M_TRIM_THRESHOLD, _KEEP_UP_TO)
        mallopt(_M_TOP_PAD, 2**20)


def end_forks_with_this_process() -> None:
    """Makes the kernel end every process forked from this one, and their forks, when its parent ends.

    A fork holds copies of all connections: as long as one lives, nobody learns that its worker has died. The kernel means
    the end of the thread that forked, so that this is done for the main thread alone.
    """
    if not sys.platform.startswith("linux"):
        return
    prctl, fork = ctypes.CDLL(None).prctl, threading.local()

    def before() -> None:
        fork.by_main_thread = threading.current_thread() is threading.main_thread()
        fork.parent = getpid()

    def in_child() -> None:
        if fork.by_main_thread:
            prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
            if getppid() != fork.parent:  # it ended before the kernel was asked
                _exit(0)

    os.register_at_fork(before=before, after_in_child=in_child)


def set_up_worker(life: Connection) -> None:
    """Makes this process a worker.

    Args:
        life: the reading end of a pipe whose writing end only the driver holds. It closes when the driver ends,
            however it ends, and this process ends with it.
    """
    multiprocessing.current_process().daemon = False  # daemons may not start processes, which an objective may want to
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the driver decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # what an objective starts belongs to this group, and ends with it
    _close_fork_server_pipe()
    end_forks_with_this_process()
    use_one_thread()
    keep_freed_memory()
    if sys.__stdout__ is not None and sys.__stderr__ is not None:
        os.dup2(sys.__stderr__.fileno(), sys.__stdout__.fileno())  # the driver's stdout may be a machine's to read
    threading.Thread(target=_exit_with, args=(life,), name="rbt-ray-life", daemon=True).start()
    _exit_by_signal(life)


def _close_fork_server_pipe() -> None:
    """Closes the pipe at whose end the driver's fork server ends: what an objective writes to it would end that too."""
    from multiprocessing import forkserver

    server: Any = forkserver._forkserver
    if server._forkserver_alive_fd is not None and server._forkserver_pid is None:  # not where forked from the driver
        os.close(server._forkserver_alive_fd)
        server._forkserver_alive_fd = None


def _exit_with(life: Connection) -> None:
    try:
        life.recv_bytes()
    except (EOFError, OSError):
        os._exit(0)


def _exit_by_signal(life: Connection) -> None:
    """On Linux the kernel ends the process and its children, even one in C code that never lets the thread above run."""
    if not sys.platform.startswith("linux"):
        return
    import fcntl

    signal.signal(signal.SIGIO, signal.SIG_DFL)  # its default action ends the process
    fcntl.fcntl(life.fileno(), fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(life.fileno(), fcntl.F_SETFL, fcntl.fcntl(life.fileno(), fcntl.F_GETFL) | os.O_ASYNC)
