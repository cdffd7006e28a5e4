"""Starting a private Ray or joining a cluster, quietly: nothing on stdout, no warnings, the caller's signals kept."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError

from rbt_ray.errors import SettingError, WorkerStartError
from rbt_ray.pool.process_setup import ONE_THREAD
from rbt_ray.pool.ray import private_ray

_lock = threading.Lock()
PRIVATE = "local"
_ANSWER_SECONDS = 5.0
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
_SETTINGS = {
    # Ray gives its workers niceness 15; whatever else runs on the machine would then take their processors.
    "RAY_worker_niceness": "0",
    # Nobody looks at what they collect, and together they take 0.6 % of a core from the workers.
    "RAY_enable_metrics_collection": "0",
    "RAY_task_events_report_interval_ms": "0",
    # What an objective starts ends with its worker, however that ends.
    "RAY_process_group_cleanup_enabled": "true",
}
"""Of a Ray of our own, where the environment does not say otherwise."""


@dataclass(slots=True, eq=False)
class Connection:
    """This process's link to a Ray.

    Args:
        address: with which `join` made it; None where someone else did.
        identity: the node and the job, which tell it from a link that is made later.
        undo: gives stdout back to Ray; of a Ray of our own, also removes its folder.
        folder: of a Ray of our own; None for any other.
        n_users: calls of `join` that `leave` has not followed yet.
    """

    address: str | None
    identity: tuple[str, str]
    undo: Callable[[], None]
    folder: private_ray.PrivateFolder | None = None
    n_users: int = 0

    @property
    def own(self) -> bool:
        """Whether it is a Ray of our own, and all its processors ours to share out."""
        return self.address == PRIVATE

    @property
    def is_up(self) -> bool:
        """Whether the process still has it: anybody may call `ray.shutdown()`."""
        return ray.is_initialized() and _identity() == self.identity


_here: Connection | None = None
"""The link in use, if any."""


def join(address: str | None, n_cpus: int) -> Connection:
    """Connects this process to Ray; each call is to be followed by one of `leave`.

    Args:
        address: None starts a Ray of our own, which nobody else on the machine is sent to. A process has one
            Ray: where it is connected already, that one is used.
        n_cpus: of a Ray of our own.

    Raises:
        SettingError: no cluster answers at `address`, or the process is connected to another one.
        WorkerStartError: no Ray can be started on this machine.
    """
    global _here
    wanted = address or PRIVATE
    with _lock:
        if _here is not None and not _here.is_up:
            _here.undo()
            _here = None
        if ray.is_initialized():
            _refuse_another(wanted)
            _here = _here or Connection(None, _identity(), lambda: None)
        else:
            with ExitStack() as undo:
                undo.callback(_keep_stdout_clean())
                folder = None
                if wanted == PRIVATE:
                    folder = _start(n_cpus, undo)
                else:
                    _connect(wanted)
                _here = Connection(wanted, _identity(), undo.pop_all().close, folder)
        _here.n_users += 1
        return _here


def leave(connection: Connection) -> None:
    """Disconnects, as soon as nobody uses it, from what `join` connected to; a Ray of our own ends."""
    global _here
    with _lock:
        connection.n_users -= 1
        if connection is not _here or connection.n_users:
            return
        _here = None
        if connection.address is not None:
            if connection.is_up:
                ray.shutdown()
            connection.undo()


def is_private() -> bool:
    """Whether the process is connected to a Ray of our own, which is no cluster to anybody else."""
    return _here is not None and _here.own and _here.is_up


def where_logs_are() -> str:
    """A sentence that names the folder of Ray's logs; those of a Ray of our own are kept until the next one starts."""
    folder = None if _here is None else _here.folder
    if folder is None:
        return "Ray's logs are below its temporary folder there, /tmp/ray unless `ray start --temp-dir` names another."
    folder.keep()
    return f"Ray's logs are in {folder.logs} until the next start."


def _identity() -> tuple[str, str]:
    context = ray.get_runtime_context()
    return context.get_node_id(), context.get_job_id()


def _refuse_another(wanted: str) -> None:
    opened = None if _here is None else _here.address
    here = opened or ray.get_runtime_context().gcs_address
    same = wanted == here or (opened is None and (wanted in (PRIVATE, "auto") or wanted.startswith("ray://")))
    if not same:
        raise SettingError(
            f"`address` is {wanted!r}, and this process is connected to another Ray ({here}). A process has one: end "
            f"that first, by `rbt.shutdown()` or `ray.shutdown()`."
        )


def _start(n_cpus: int, undo: ExitStack) -> private_ray.PrivateFolder:
    """Starts a Ray of our own; `undo` gets what is to be done once it has ended."""
    folder = private_ray.PrivateFolder()
    undo.callback(folder.release)
    private_ray.close_token_file()
    with _quietly(), private_ray.on_loopback():
        try:
            # address=None would join any Ray that happens to run on this machine.
            ray.init(address=PRIVATE, include_dashboard=False, num_cpus=n_cpus, _temp_dir=str(folder.for_ray), **_QUIET)
        except Exception as error:  # of no kind of its own where the raylet dies while it starts
            folder.keep()
            raise WorkerStartError(
                f"Ray cannot be started on this machine: {error} Its logs are in {folder.logs} until the next start."
            ) from error
    return folder


def _connect(wanted: str) -> None:
    _refuse_silence(wanted)
    with _quietly():
        try:
            ray.init(address=wanted, **_QUIET)
        except (RayError, OSError, RuntimeError, ValueError) as error:
            raise SettingError(
                f"`address`: no Ray cluster can be joined at {wanted!r}: {error} Is it running (`ray status`), is the "
                f"port open, are Ray's and Python's versions the same, and is its token known here?"
            ) from error


def _refuse_silence(wanted: str) -> None:
    """Ray tries for minutes to reach an address at which nobody listens."""
    host, _, port = wanted.rpartition(":")
    if "//" in wanted or not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise SettingError(
            f"`address`: nothing answers at {wanted!r} ({error}). Is the cluster running (`ray status`), and is its port, "
            f"6379 unless told otherwise, open from here?"
        ) from error


@contextmanager
def _quietly() -> Iterator[None]:
    with _signals_kept(), _log_kept(), _environment_for_ray():
        yield


@contextmanager
def _signals_kept() -> Iterator[None]:
    """`ray.init` takes SIGTERM for itself; a study that is asked to end wants to end cleanly.

    A Ray of our own inherits that SIGHUP is blocked: a terminal that is closed ends the driver first, and not Ray.
    """
    if hasattr(signal, "SIGHUP"):
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            with _sigterm_kept():
                yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    else:
        with _sigterm_kept():
            yield


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _log_kept() -> Iterator[None]:
    """No word that authentication by token is on, as it is by default; the application's log level stays."""
    tokens = logging.getLogger("ray._private.authentication.authentication_token_setup")
    before = tokens.level
    tokens.setLevel(logging.ERROR)
    try:
        yield
    finally:
        tokens.setLevel(before)


@contextmanager
def _environment_for_ray() -> Iterator[None]:
    """What the processes of a Ray of our own inherit: settings and, since Ray loads numpy before any code of ours runs, threads."""
    ours = {
        **{name: os.environ.get(name, value) for name, value in _SETTINGS.items()},
        **dict.fromkeys(ONE_THREAD, "1"),
    }
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _keep_stdout_clean() -> Callable[[], None]:
    """Sends "(raylet) A worker died ..." to stderr, and returns what undoes it.

    Ray prints such errors to the driver's stdout whatever `log_to_driver` says, and has no setting for it; stdout may
    be a program's to read.
    """
    module: Any = sys.modules["ray._private.worker"]
    printed = getattr(module, "print_to_stdstream", None)
    if printed is None:
        return lambda: None

    def print_to_stderr(data: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        printed({**data, "is_err": True}, *args, **kwargs)

    module.print_to_stdstream = print_to_stderr
    return lambda: setattr(module, "print_to_stdstream", printed)
