"""One writer of the registry of bundles at a time, in all processes of a machine; readers need no lock."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rbt_ray.errors import BundleError

_OPEN = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_in_this_process = threading.Lock()  # a record lock does not exclude a second thread of the process that holds it


def _forget_the_parents() -> None:
    """In a forked child, where no other thread holds the lock."""
    global _in_this_process
    _in_this_process = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_the_parents)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Waits until no other process or thread holds the lock, and holds it while the block runs.

    The system releases it when the process ends, however that happens.

    Args:
        path: the lock's file, which is made if it is missing and stays.

    Raises:
        BundleError: the file cannot be opened or locked.
    """
    with _in_this_process:
        try:
            file = os.open(path, _OPEN, 0o600)
        except OSError as error:
            raise _refused(path, error) from None
        try:
            try:
                _lock(file)
            except OSError as error:
                raise _refused(path, error) from None
            yield
        finally:
            os.close(file)


def _refused(path: Path, error: OSError) -> BundleError:
    return BundleError(
        f"`{path}` cannot be locked: {error.strerror or error}. Set RBT_RAY_HOME to a folder on a local disk that can be "
        f"written."
    )


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        while True:
            try:
                msvcrt.locking(file, msvcrt.LK_LOCK, 1)
            except PermissionError:
                continue  # it gives up after ten seconds
            return
else:
    import fcntl

    def _lock(file: int) -> None:
        # A record lock is not inherited: a forked worker that outlives an ingest cannot hold it.
        fcntl.lockf(file, fcntl.LOCK_EX)
