"""The locks that let one driver at a time run a study: of its folder, and of its mirror.

The lock of a mirror is a lease: a file next to it that the driver which runs the study renews. It is best effort, and depends
on the clocks of the machines. Two drivers that start within one round trip can both hold it, until one finds the other's name
at its next renewal and stops writing.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import stat
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from rbt_ray.errors import JournalError, SettingError, StudyLockedError
from rbt_ray.file_lock import FileLock, LockFailedError, LockHeldError, is_held
from rbt_ray.store.mirror import Mirror

LOCK_FILE = "lock"
_LEASE_FILE = "owner.json"
_MOST_LEASE_BYTES = 4096
_TEXTS, _NUMBERS = ("host", "machine", "token"), ("time", "stale_after_s")
_INTERVALS = 3
_SLACK_SECONDS = 5.0
_MOST_STALE_S = 30 * 86_400.0


class StudyLock:
    """A lock held from construction until `release` or the end of the process; forked children do not hold it.

    Raises:
        StudyLockedError: another living process holds it; the message names its pid and host.
        SettingError: the file system has no locks, or the lock's file was not made by a driver.
        OSError: the lock's file cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        path = folder.resolve() / LOCK_FILE
        try:
            self._lock = FileLock(path, wait=False)
        except LockHeldError as error:
            if error.content is None:
                raise StudyLockedError(f"this process is already running the study in {folder}.") from None
            raise StudyLockedError(
                f"the study in {folder} is being run by {_owner(error.content)}; wait for it, or end it."
            ) from None
        except LockFailedError as error:
            raise SettingError(
                f"{path} cannot be locked against a second driver: {error.strerror}. Some network file systems have no "
                f"locks: keep the study on a local disk, or mount the file system with locks."
            ) from error
        try:
            self._write_owner(path)
        except BaseException:
            self._lock.release()
            raise

    def _write_owner(self, path: Path) -> None:
        found = os.fstat(self._lock.descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            raise SettingError(f"{path} is not a regular file of its own: move it out of the folder.")
        os.ftruncate(self._lock.descriptor, 0)
        os.write(self._lock.descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())

    def release(self) -> None:
        """Releases the lock."""
        self._lock.release()


def is_running(folder: Path) -> bool:
    """Returns whether a driver of this machine, or of one that shares the folder with its locks, runs the study in it."""
    return is_held(folder / "lock")


def _owner(content: bytes) -> str:
    with suppress(ValueError, KeyError, TypeError):
        owner = json.loads(content.decode(errors="replace"))
        return f"process {owner['pid']} on {owner['host']}"
    return "another process"


class Lease:
    """This driver's lease of a study's mirror.

    Args:
        mirror: the study's mirror.
        interval_s: how often `renew` is called, in seconds.
    """

    def __init__(self, mirror: Mirror, interval_s: float) -> None:
        self._mirror = mirror
        self._me = {
            "host": socket.gethostname(),
            "machine": _machine(),
            "pid": os.getpid(),
            "token": secrets.token_hex(8),
            "stale_after_s": min(_INTERVALS * interval_s + _SLACK_SECONDS, _MOST_STALE_S),
        }

    def acquire(self) -> None:
        """Acquires the lease; takes it over from a driver that died on this machine or missed three renewals.

        Raises:
            StudyLockedError: another driver holds the lease; the message names its process and host.
            SettingError: the mirror cannot be read or written.
            JournalError: the lease file is damaged.
        """
        found = self._found()
        if (
            found is not None
            and (silent := time.time() - found["time"]) < found["stale_after_s"]
            and self._may_live(found)
        ):
            raise StudyLockedError(
                f"the study in {self._mirror.display_name} is being run by process {found['pid']} on {found['host']}, last "
                f"seen {max(0.0, silent):.0f} s ago; wait for it, or end it. If it has died, the study can be taken over "
                f"after {found['stale_after_s']:.0f} s."
            )
        self._write()

    def renew(self) -> None:
        """Renews the lease.

        Raises:
            StudyLockedError: another driver has taken over the study.
            SettingError: the mirror cannot be read or written.
            JournalError: the lease file is damaged.
        """
        found = self._found()
        if found is not None and found["token"] != self._me["token"]:
            raise StudyLockedError(
                f"the study in {self._mirror.display_name} was taken over by process {found['pid']} on {found['host']}."
            )
        self._write()

    def release(self) -> None:
        """Releases the lease.

        Raises:
            SettingError: the mirror cannot be read or written.
            JournalError: the lease file is damaged.
        """
        found = self._found()
        if found is not None and found["token"] == self._me["token"]:
            self._mirror.remove(_LEASE_FILE)

    def _write(self) -> None:
        self._mirror.put(_LEASE_FILE, json.dumps({**self._me, "time": time.time()}).encode())

    def _found(self) -> dict[str, Any] | None:
        """Returns the current lease; None if there is none."""
        content = self._mirror.get(_LEASE_FILE, _MOST_LEASE_BYTES)
        if content is None:
            return None
        try:
            found = json.loads(content)
            _check(found)
        except (ValueError, TypeError, LookupError, RecursionError):
            raise JournalError(
                f"{self._mirror.display_name} is damaged: {_LEASE_FILE} is unreadable. If no driver is running the study, delete the file."
            ) from None
        return dict(found)

    def _may_live(self, found: dict[str, Any]) -> bool:
        """Returns whether its driver may be alive; it is not if its process is on this machine and gone, or is this one."""
        if (found["host"], found["machine"]) != (self._me["host"], self._me["machine"]):
            return True
        return found["pid"] != self._me["pid"] and psutil.pid_exists(found["pid"])


def _check(found: dict[str, Any]) -> None:
    """Raises ValueError, TypeError or LookupError if this is not the content of a lease file."""
    if not all(isinstance(found[name], str) and found[name].isprintable() for name in _TEXTS):
        raise ValueError("a text has another type")
    if not all(type(found[name]) in (int, float) and abs(found[name]) <= sys.float_info.max for name in _NUMBERS):
        raise ValueError("a time has another type")
    if type(found["pid"]) is not int or not 0 < found["pid"] < 2**31:
        raise ValueError("its process id is out of range")
    if not 0 < found["stale_after_s"] <= _MOST_STALE_S or found["time"] > time.time() + _MOST_STALE_S:
        raise ValueError("its times are out of range")


def _machine() -> str:
    """Returns an id of the machine or container: within one id, process ids refer to the same processes."""
    with suppress(OSError):  # these files exist on Linux
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return f"{uuid.getnode():x}"
