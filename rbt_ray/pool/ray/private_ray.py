"""Protects a Ray of our own from other users: a folder with mode 0700, a private token file, and loopback addresses."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ray import _raylet
from ray._private import ray_constants

from rbt_ray.errors import WorkerStartError
from rbt_ray.private_files import make_folder, write
from rbt_ray.process_limits import LONGEST_SOCKET_PATH

_PREFIX = "rbtray-"  # of no other folders, since unlocked ones are removed
_TOKEN_NAMES = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}
_BELOW = len(f"/{_PREFIX}12345678/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store")


class PrivateFolder:
    """A new temporary folder with mode 0700, in which one Ray keeps its sockets, logs and spilled objects.

    It is created in ``RAY_TMPDIR``, else on Linux in ``TMPDIR``, else in ``/tmp``; also in ``/tmp`` if the path is too long
    for a Unix socket. The process holds a lock on the folder until the process ends. The next `PrivateFolder` there removes
    folders without a lock.

    Raises:
        WorkerStartError: the folder cannot be created.
    """

    def __init__(self) -> None:
        above = _above()
        try:
            make_folder(above)
            # Other processes remove unlocked folders with the prefix, so the folder gets it after it is locked.
            made = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}", dir=above))
            self._lock = _locked(made)
            self.path = made.rename(above / made.name.removeprefix("."))
        except OSError as error:
            raise WorkerStartError(
                f"Ray cannot be started: no folder for its sockets and logs can be made in {above} ({error}). Set "
                f"RAY_TMPDIR to a writable folder with a path of at most {LONGEST_SOCKET_PATH - _BELOW} characters."
            ) from error
        self._kept = False
        _remove_unlocked(above)

    @property
    def for_ray(self) -> Path:
        """The folder for Ray, one level below, since Ray gives it mode 0777."""
        return self.path / "ray"

    @property
    def logs(self) -> Path:
        """The folder of Ray's logs."""
        return self.for_ray / "session_latest" / "logs"

    def keep(self) -> None:
        """Keeps the folder after `release`, until the next Ray is started."""
        self._kept = True

    def release(self) -> None:
        """Removes the folder, after Ray has ended."""
        if not self._kept:
            shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)


def close_token_file() -> None:
    """Gives Ray's token file, ``~/.ray/auth_token``, mode 0600; creates it if it is missing.

    Ray itself would create it with the default mode of the umask. Nothing is done if the environment has or names a token, or
    turns tokens off.
    """
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token" or _TOKEN_NAMES & os.environ.keys():
        return
    path = Path.home() / ".ray" / "auth_token"
    with suppress(OSError):  # Ray reports what is wrong with the folder
        if path.exists():
            path.chmod(path.stat().st_mode & 0o700)
            return
        make_folder(path.parent)
        new = path.with_name(f".{path.name}-{os.getpid()}")
        write(new, secrets.token_hex(32))
        try:
            os.link(new, path)  # atomic, and never over a file that another process has just created
        finally:
            new.unlink()
        rays: Any = _raylet
        rays.AuthenticationTokenLoader.instance().reset_cache()  # it may have cached that there was none


@contextmanager
def on_loopback() -> Iterator[None]:
    """Makes a Ray that is started within use the loopback address, on which alone all its servers listen.

    Ray does so by default on macOS and Windows. Elsewhere it replaces ``_node_ip_address="127.0.0.1"`` by a network address,
    so this changes the constant that decides it.
    """
    constants: Any = ray_constants
    before = constants.ENABLE_RAY_CLUSTER
    constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before


def _above() -> Path:
    names = ("RAY_TMPDIR", "TMPDIR") if sys.platform.startswith("linux") else ("RAY_TMPDIR",)
    wanted = next((os.environ[name] for name in names if os.environ.get(name)), None)
    if sys.platform == "win32":
        return Path(wanted or tempfile.gettempdir())
    above = Path(wanted or "/tmp").absolute()
    return above if len(os.fsencode(above)) + _BELOW <= LONGEST_SOCKET_PATH else Path("/tmp")


def _remove_unlocked(above: Path) -> None:
    """Removes this user's folders that killed drivers have left."""
    for folder in above.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            lock = _locked(folder)
            if lock is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


if sys.platform == "win32":

    def _locked(folder: Path) -> int | None:  # noqa: ARG001
        """Returns None: Windows cannot lock folders, so those of killed drivers stay."""
        return None
else:
    import fcntl

    def _locked(folder: Path) -> int | None:
        """Locks a folder; returns the descriptor that holds the lock.

        Raises:
            OSError: another process holds it, or the folder is another user's or a symbolic link.
        """
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if os.fstat(lock).st_uid != os.getuid():
                raise PermissionError(f"{folder} belongs to another user")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise
        return lock
