"""A lock that lets one driver at a time run a study; it is released however the process ends."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import stat
import sys
import threading
from pathlib import Path
from typing import IO

from rbt_ray.errors import SettingError, StudyLockedError

_OPEN = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)  # a link in another user's folder may point to any file
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)
_HELD_BY_ANOTHER = (errno.EACCES, errno.EAGAIN)
_MAX_OWNER_BYTES = 1000
_held: set[Path] = set()
_taking = threading.Lock()  # a record lock does not exclude other threads of its process


def _forget_held() -> None:
    """Resets the state in a forked child, which holds none of its parent's record locks."""
    global _taking
    _taking = threading.Lock()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_held)


class StudyLock:
    """A lock held from construction until `release` or the end of the process; forked children do not hold it.

    Raises:
        StudyLockedError: another living process holds it; the message names its pid and host.
        SettingError: the file system has no locks, or the lock's file was not made by a driver.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder.resolve() / "lock"
        with _taking:
            self._take(folder)

    def _take(self, folder: Path) -> None:
        if self._path in _held:
            raise StudyLockedError(f"this process is already running the study in {folder}.")
        descriptor = os.open(self._path, _OPEN | _NO_WAIT, 0o600)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
                raise SettingError(f"{self._path} is not a regular file of its own: move it out of the folder.")
            self._file: IO[str] = os.fdopen(descriptor, "r+", encoding="utf-8", errors="replace")
        except BaseException:
            os.close(descriptor)
            raise
        try:
            _lock(self._file)
        except OSError as error:
            owner = _owner(self._file.read(_MAX_OWNER_BYTES))
            self._file.close()
            if error.errno in _HELD_BY_ANOTHER:
                raise StudyLockedError(
                    f"the study in {folder} is being run by {owner}; wait for it, or end it."
                ) from None
            raise SettingError(
                f"{self._path} cannot be locked against a second driver: {error.strerror}. Some network file systems have no "
                f"locks: keep the study on a local disk, or mount the file system with locks."
            ) from error
        self._file.truncate(0)
        self._file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
        self._file.flush()
        _held.add(self._path)

    def release(self) -> None:
        """Releases the lock."""
        _held.discard(self._path)
        self._file.close()


def _owner(text: str) -> str:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        owner = json.loads(text)
        return f"process {owner['pid']} on {owner['host']}"
    return "another process"


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[str]) -> None:
        file.seek(2**20)  # a byte nobody reads: a lock of Windows prevents reading, too
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)
else:
    import fcntl

    def _lock(file: IO[str]) -> None:
        # A record lock belongs to one process: a forked worker that outlives its driver does not hold it.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
