"""A lock that lets one driver at a time run a study; it is released however the process ends."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
from pathlib import Path

from rbt_ray.errors import SettingError, StudyLockedError
from rbt_ray.file_lock import FileLock, LockFailedError, LockHeldError


class StudyLock:
    """A lock held from construction until `release` or the end of the process; forked children do not hold it.

    Raises:
        StudyLockedError: another living process holds it; the message names its pid and host.
        SettingError: the file system has no locks, or the lock's file was not made by a driver.
        OSError: the lock's file cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        path = folder.resolve() / "lock"
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


def _owner(content: bytes) -> str:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        owner = json.loads(content.decode(errors="replace"))
        return f"process {owner['pid']} on {owner['host']}"
    return "another process"
