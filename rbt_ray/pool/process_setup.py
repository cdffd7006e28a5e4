"""Settings of a worker process: one thread, freed memory is kept, stdout is stderr, and it ends with its driver."""

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
# and each use pays for its page faults again.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_KEEP_UP_TO = 256 * 2**20


def use_one_thread() -> None:
    """Pins BLAS, OpenMP and numba to one thread, since the workers already fill the cores. Call it before numpy is imported."""
    for name in ONE_THREAD:
        os.environ[name] = "1"
    numba = sys.modules.get("numba")
    if numba is not None and numba.config.NUMBA_NUM_THREADS > 1:  # imported before a fork, it has read the variable
        numba.set_num_threads(1)  # only if needed: it makes a semaphore that outlives a killed worker


def ignore_terminal_signals() -> None:
    """Ignores Ctrl-C and a closed terminal, which reach all processes of the terminal: the driver decides what ends."""
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def keep_freed_memory() -> None:
    """Raises glibc's malloc thresholds, so that freed temporaries are reused and not returned to the system."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEEP_UP_TO)
        mallopt(_M_TRIM_THRESHOLD, _KEEP_UP_TO)
        mallopt(_M_TOP_PAD, 2**20)


def end_forks_with_this_process() -> None:
    """Makes the kernel end every process forked from this one, and their forks, when its parent ends.

    A fork holds copies of all connections, which hide the death of its worker as long as it runs. The kernel acts when the
    thread that forked ends, so only forks of the main thread are covered.
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
            if getppid() != fork.parent:  # the parent ended before the call above
                _exit(0)

    os.register_at_fork(before=before, after_in_child=in_child)


def set_up_worker(life: Connection) -> None:
    """Makes this process a worker.

    Args:
        life: the reading end of a pipe whose writing end only the driver holds. It closes when the driver ends for any
            reason, and this process then ends too.
    """
    multiprocessing.current_process().daemon = False  # daemons may not start processes, which an objective may want to
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the driver decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # processes that an objective starts join this group, which is killed as a whole
    _close_fork_server_pipe()
    end_forks_with_this_process()
    use_one_thread()
    keep_freed_memory()
    if sys.__stdout__ is not None and sys.__stderr__ is not None:
        os.dup2(sys.__stderr__.fileno(), sys.__stdout__.fileno())  # another program may read the driver's stdout
    threading.Thread(target=_exit_with, args=(life,), name="rbt-ray-life", daemon=True).start()
    _exit_by_signal(life)


def _close_fork_server_pipe() -> None:
    """Closes the pipe that keeps the fork server alive: an objective that writes to it would end the fork server."""
    from multiprocessing import forkserver

    server: Any = forkserver._forkserver
    if (
        server._forkserver_alive_fd is not None and server._forkserver_pid is None
    ):  # not in a process forked from the driver
        os.close(server._forkserver_alive_fd)
        server._forkserver_alive_fd = None


def _exit_with(life: Connection) -> None:
    try:
        life.recv_bytes()
    except (EOFError, OSError):
        os._exit(0)


def _exit_by_signal(life: Connection) -> None:
    """Makes Linux end the process and its children, even if C code in it never lets the thread above run."""
    if not sys.platform.startswith("linux"):
        return
    import fcntl

    signal.signal(signal.SIGIO, signal.SIG_DFL)  # its default action ends the process
    fcntl.fcntl(life.fileno(), fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(life.fileno(), fcntl.F_SETFL, fcntl.fcntl(life.fileno(), fcntl.F_GETFL) | os.O_ASYNC)
