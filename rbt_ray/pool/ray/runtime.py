"""Starts a private Ray or joins a cluster, without output or warnings, and keeps the caller's signal handlers."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util import client

from rbt_ray.errors import SettingError, WorkerStartError
from rbt_ray.pool.process_setup import ONE_THREAD
from rbt_ray.pool.ray import private_ray, runtime_environment

_lock = threading.Lock()
PRIVATE = "local"
_ANSWER_SECONDS = 5.0
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
_SETTINGS = {
    # Ray gives its workers niceness 15, with which any other program would take their processors.
    "RAY_worker_niceness": "0",
    # Nothing reads these metrics and events, and collecting them takes 0.6 % of a core from the workers.
    "RAY_enable_metrics_collection": "0",
    "RAY_task_events_report_interval_ms": "0",
    # Processes that an objective starts end with its worker.
    "RAY_process_group_cleanup_enabled": "true",
}
"""Settings of a Ray of our own, unless the environment sets them."""


@dataclass(slots=True, eq=False)
class Connection:
    """The connection of this process to Ray.

    Args:
        address: that `join` connected to; None if other code connected.
        identity: the ids of node and job, unique to this connection.
        undo: gives stdout back to Ray; for a Ray of our own, also removes its folder.
        folder: the folder of a Ray of our own; None for any other.
        runtime_env: what Ray prepares on each host; None if other code connected.
        n_users: calls of `join` without a call of `leave` yet.
    """

    address: str | None
    identity: tuple[str, str]
    undo: Callable[[], None]
    folder: private_ray.PrivateFolder | None = None
    runtime_env: Mapping[str, Any] | None = None
    n_users: int = 0

    @property
    def own(self) -> bool:
        """Whether it is a Ray of our own, whose processors are all ours to use."""
        return self.address == PRIVATE

    @property
    def is_up(self) -> bool:
        """Whether the process is still connected; other code may call `ray.shutdown()`."""
        return ray.is_initialized() and _identity() == self.identity


_here: Connection | None = None
"""The current connection, if any."""


def join(address: str | None, n_cpus: int, runtime_env: Mapping[str, Any] | None = None) -> Connection:
    """Connects this process to Ray; each call needs a call of `leave`.

    Args:
        address: None starts a Ray of our own, which no other program joins by default. A process has one connection:
            an existing one is used.
        n_cpus: the number of CPUs of a Ray of our own.
        runtime_env: what Ray prepares on each host before workers start there, as `ray.init` takes it; None: nothing.

    Raises:
        SettingError: no cluster answers at `address`, the process is connected to another one, or Ray cannot use
            `runtime_env`.
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
            if runtime_env and (_here is None or _here.runtime_env != runtime_env):
                raise SettingError(
                    "`runtime_env`: this process is connected to Ray already, and Ray takes an environment only when a "
                    "process connects. Pass it to your own `ray.init`, or call `rbt.shutdown()` first."
                )
            _here = _here or Connection(None, _identity(), lambda: None)
        else:
            environment = runtime_environment.checked(runtime_env)
            with ExitStack() as undo:
                undo.callback(_keep_stdout_clean())
                folder = None
                if wanted == PRIVATE:
                    folder = _start(n_cpus, undo, environment)
                else:
                    _connect(wanted, environment)
                _here = Connection(wanted, _identity(), undo.pop_all().close, folder, runtime_env)
        _here.n_users += 1
        return _here


def leave(connection: Connection) -> None:
    """Disconnects from Ray after the last user of the connection has left; ends a Ray of our own."""
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
    """Returns whether the process is connected to a Ray of our own."""
    return _here is not None and _here.own and _here.is_up


def is_client() -> bool:
    """Returns whether the process is connected through a Ray Client, so that it may run on no host of the cluster."""
    return bool(client.ray.is_connected())


def hosts() -> set[str]:
    """Returns the names of the hosts of live nodes."""
    return {node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]}


def where_logs_are() -> str:
    """Returns a sentence that names the folder of Ray's logs; keeps those of a Ray of our own until the next one starts."""
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
            f"`address` is {wanted!r}, but this process is connected to another Ray ({here}). Disconnect first, by "
            f"`rbt.shutdown()` or `ray.shutdown()`."
        )


def _start(n_cpus: int, undo: ExitStack, environment: Mapping[str, Any]) -> private_ray.PrivateFolder:
    """Starts a Ray of our own; adds to `undo` what must be done after it has ended."""
    folder = private_ray.PrivateFolder()
    undo.callback(folder.release)
    private_ray.close_token_file()
    with _quietly(), private_ray.on_loopback():
        try:
            # address=None would join any Ray that runs on this machine.
            ray.init(
                address=PRIVATE,
                include_dashboard=False,
                num_cpus=n_cpus,
                _temp_dir=str(folder.for_ray),
                **environment,
                **_QUIET,
            )
        except Exception as error:  # if the raylet dies while it starts, the error has no type of its own
            folder.keep()
            raise WorkerStartError(
                f"Ray cannot be started on this machine: {error} Its logs are in {folder.logs} until the next start."
            ) from error
    return folder


def _connect(wanted: str, environment: Mapping[str, Any]) -> None:
    _refuse_silence(wanted)
    with _quietly():
        try:
            ray.init(address=wanted, **environment, **_QUIET)
        except (RayError, OSError, RuntimeError, ValueError) as error:
            if environment and "runtime env" in str(error).lower():  # it conflicts with that of the job, say
                raise SettingError(f"`runtime_env`: {error}") from error
            raise SettingError(
                f"`address`: no Ray cluster can be joined at {wanted!r}: {error} Is it running (`ray status`), is the "
                f"port open, are Ray's and Python's versions the same, and is its token known here?"
            ) from error


def _refuse_silence(wanted: str) -> None:
    """Raises SettingError if nothing listens at the address; Ray itself would try for minutes."""
    host, _, port = wanted.rpartition(":")
    if "//" in wanted or not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise SettingError(
            f"`address`: nothing answers at {wanted!r} ({error}). Is the cluster running (`ray status`), and is its port, "
            f"6379 by default, open from here?"
        ) from error


@contextmanager
def _quietly() -> Iterator[None]:
    with _signals_kept(), _log_kept(), _environment_for_ray():
        yield


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Restores the handler of SIGTERM, which `ray.init` replaces, so that a study can end cleanly.

    SIGHUP is blocked within. A Ray of our own inherits that, so a closed terminal ends the driver but not Ray.
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
    """Hides Ray's message that token authentication is on, as it is by default."""
    tokens = logging.getLogger("ray._private.authentication.authentication_token_setup")
    before = tokens.level
    tokens.setLevel(logging.ERROR)
    try:
        yield
    finally:
        tokens.setLevel(before)


@contextmanager
def _environment_for_ray() -> Iterator[None]:
    """Sets variables that a Ray of our own inherits, such as the number of threads: Ray imports numpy before our code runs."""
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
    """Redirects messages such as "(raylet) A worker died ..." to stderr; returns a function that undoes it.

    Ray prints them to the driver's stdout, which another program may read, even with `log_to_driver=False`, and has no
    setting for it.
    """
    module: Any = sys.modules["ray._private.worker"]
    printed = getattr(module, "print_to_stdstream", None)
    if printed is None:
        return lambda: None

    def print_to_stderr(data: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        printed({**data, "is_err": True}, *args, **kwargs)

    module.print_to_stdstream = print_to_stderr
    return lambda: setattr(module, "print_to_stdstream", printed)
