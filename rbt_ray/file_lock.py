"""Exclusive locks on files, between processes and threads. The system releases them when the process ends, however it ends."""

from __future__ import annotations

import errno
import os
import sys
import threading
from pathlib import Path

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)  # in another user's folder a link can lead to any file
_OPEN = os.O_RDWR | os.O_CREAT | _NO_LINK
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # a pipe in place of the file would wait for another process
_HELD_BY_ANOTHER = (errno.EACCES, errno.EAGAIN)
_SHOWN_BYTES = 1000
_held: set[Path] = set()
_released = threading.Condition()  # a record lock does not exclude a second thread of the process that holds it


def _forget_held() -> None:
    """In a forked child, which holds no record lock of its parent."""
    global _released
    _released = threading.Condition()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_held)


class LockHeldError(Exception):
    """The lock is held.

    Args:
        content: the beginning of the lock's file, if another process holds the lock; None if this process does.
    """

    def __init__(self, content: bytes | None) -> None:
        super().__init__(content)
        self.content = content


class LockFailedError(OSError):
    """The file was opened and cannot be locked."""


class FileLock:
    """A lock that is held from construction until `release`. Forked children do not hold it.

    Args:
        path: the lock's file, which is made if it is missing and stays.
        wait: whether to wait while another process or thread holds the lock.

    Attributes:
        descriptor: the descriptor of the file, whose content belongs to the holder.

    Raises:
        LockHeldError: another process or thread holds the lock, and `wait` is false.
        LockFailedError: the file system provides no locks.
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path, *, wait: bool) -> None:
        self._path = path.parent.resolve() / path.name
        with _released:
            while self._path in _held:
                if not wait:
                    raise LockHeldError(None)
                _released.wait()
            _held.add(self._path)
        try:
            self.descriptor = os.open(self._path, _OPEN | _NO_WAIT, 0o600)
            try:
                self._lock(wait=wait)
            except BaseException:
                os.close(self.descriptor)
                raise
        except BaseException:
            self._forget()
            raise

    def _lock(self, *, wait: bool) -> None:
        try:
            _lock(self.descriptor, wait=wait)
        except OSError as error:
            if error.errno in _HELD_BY_ANOTHER:
                raise LockHeldError(os.read(self.descriptor, _SHOWN_BYTES)) from None
            raise LockFailedError(error.errno, error.strerror) from error

    def release(self) -> None:
        """Releases the lock."""
        os.close(self.descriptor)  # before another thread opens the file: closing it releases a lock of that thread too
        self._forget()

    def _forget(self) -> None:
        with _released:
            _held.discard(self._path)
            _released.notify_all()


def is_held(path: Path) -> bool:
    """Returns whether a process or thread holds the lock; takes no lock, so it never hinders a process that wants it.

    Raises:
        OSError: the file exists and cannot be opened.
    """
    path = path.parent.resolve() / path.name
    with _released:  # closing the file would release a lock of this process
        if path in _held:
            return True
        try:
            descriptor = os.open(path, os.O_RDONLY | _NO_LINK | _NO_WAIT)
        except FileNotFoundError:
            return False
        try:
            return holder(descriptor) is not None
        finally:
            os.close(descriptor)


if sys.platform == "win32":
    import msvcrt
    import time

    def holder(descriptor: int) -> int | None:
        """Returns 0 if a process holds the lock of a file, and None if none does."""
        os.lseek(descriptor, 2**20, os.SEEK_SET)
        try:  # Windows only tells by locking, and not who holds it
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return 0
        os.lseek(descriptor, 2**20, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return None

    def _lock(descriptor: int, *, wait: bool) -> None:
        os.lseek(descriptor, 2**20, os.SEEK_SET)  # nobody reads that byte: Windows locks keep others from reading, too
        while True:
            try:
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            except PermissionError:
                if not wait:
                    raise
                time.sleep(0.05)
            else:
                break
        os.lseek(descriptor, 0, os.SEEK_SET)
else:
    import fcntl
    import struct

    # `struct flock` of <fcntl.h> on 64-bit systems: type, whence, start, length, pid; macOS has the last three first.
    _LAYOUT, _TYPE_AT, _PID_AT = ("qqihh", 3, 2) if sys.platform == "darwin" else ("hhqqi4x", 0, 4)

    def holder(descriptor: int) -> int | None:
        """Returns the other process that holds the lock of a file: 0 if it is not of this machine or container; None if none does."""
        asked = [0] * 5
        asked[_TYPE_AT] = fcntl.F_WRLCK
        found = struct.unpack(_LAYOUT, fcntl.fcntl(descriptor, fcntl.F_GETLK, struct.pack(_LAYOUT, *asked)))
        return None if found[_TYPE_AT] == fcntl.F_UNLCK else max(int(found[_PID_AT]), 0)

    def _lock(descriptor: int, *, wait: bool) -> None:
        # A record lock is not inherited: a forked worker that outlives its driver cannot hold it.
        fcntl.lockf(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
