"""The driver that runs a study now: found by the lock that it holds, and asked to stop as by Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rbt_ray.errors import SettingError
from rbt_ray.file_lock import holder
from rbt_ray.private_files import open_regular
from rbt_ray.store.lease import LOCK_FILE

_MOST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Driver:
    """The process that runs a study.

    Args:
        pid: its process id on its host; 0 if it is not known.
        host: the name of its host; "" if it is not known.
        is_here: whether the system confirms that the process is on this machine and holds the lock, so that it can be signalled.
    """

    pid: int
    host: str
    is_here: bool


def driver_of(folder: Path) -> Driver | None:
    """Returns the driver that holds the lock of a study's folder; None if no process does.

    The lock is only asked for its holder and never taken, where the system can say it: on Linux and macOS. Elsewhere it is taken
    for a moment. The file's text is not trusted: anybody who may write in the folder may write another process's id.
    """
    path = folder.resolve() / LOCK_FILE
    try:
        with open_regular(path, follow=False) as file:
            process = holder(file.fileno())
            if process is None:
                return None
            pid, host = _written(file.read(_MOST_BYTES))
    except (OSError, ValueError):
        return None
    return Driver(pid, host, is_here=pid == process and host == socket.gethostname())


def stop(folder: Path, driver: Driver) -> None:
    """Asks a driver on this machine to stop after the running batches, as Ctrl-C does; it keeps all results.

    A second request would stop it at once, so one is sent to each driver.

    Raises:
        SettingError: it is on another machine, belongs to another user, or has ended.
    """
    if not driver.is_here:
        raise SettingError(
            f"the study is run by process {driver.pid} on {driver.host}, which is not of this machine: stop it there with Ctrl-C."
        )
    with suppress(AttributeError, OSError):  # Linux: the descriptor stays with this process even if its id is reused
        descriptor = os.pidfd_open(driver.pid)
        try:
            if driver_of(folder) == driver:
                signal.pidfd_send_signal(descriptor, signal.SIGINT)
                return
        finally:
            os.close(descriptor)
    if driver_of(folder) != driver:
        raise SettingError("the study's driver has ended.")
    try:
        os.kill(driver.pid, signal.SIGINT)
    except PermissionError:
        raise SettingError(f"process {driver.pid} belongs to another user: only that user can stop it.") from None


def _written(content: bytes) -> tuple[int, str]:
    """Returns pid and host as the lock's file gives them; 0 and "" if it does not."""
    found: Any = None
    with suppress(ValueError, RecursionError):
        found = json.loads(content.decode(errors="replace"))
    if not isinstance(found, dict):
        return 0, ""
    pid, host = found.get("pid"), found.get("host")
    if type(pid) is int and 0 < pid < 2**31 and isinstance(host, str) and host.isprintable():
        return pid, host
    return 0, ""
