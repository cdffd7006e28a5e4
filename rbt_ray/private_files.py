"""Writes folders and files that only their owner can access, for any umask, and flushes them to the disk.

A file is written under a random name next to its path and renamed when it is complete. The name cannot be guessed and is
never opened if it exists, so a link that another user left in a shared folder cannot redirect a write.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import time  # bound here, because an objective may replace time.time
from typing import BinaryIO

DRAFT_PREFIX = ".writing-"
"""The prefix of the name of an unfinished file."""
ABANDONED_AFTER_S = 3600.0
"""The age, in seconds since its last write, at which a temporary file cannot belong to a living process."""
NO_LINK = getattr(os, "O_NOFOLLOW", 0)  # a link in another user's folder may point to any file
NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # opening a pipe would wait for a process at its other end
_BINARY = getattr(os, "O_BINARY", 0)

_IN_PLACE = os.O_WRONLY | os.O_CREAT | NO_LINK


def own_folder(name: str, *, is_cache: bool = False) -> Path:
    """Returns the path of a folder of rbt_ray's own: below `RBT_RAY_HOME`, else below the user's data or cache folder."""
    if home := os.environ.get("RBT_RAY_HOME"):
        return Path(home).expanduser() / name
    import platformdirs

    base = platformdirs.user_cache_dir if is_cache else platformdirs.user_data_dir
    return Path(base("rbt_ray")) / name


def make_folder(folder: Path, *, flush: bool = True) -> None:
    """Creates a folder and its missing parents with mode 0700; an existing folder is not changed.

    Args:
        folder: the folder to create.
        flush: whether the folder has to survive a power cut, which takes some milliseconds.

    Raises:
        OSError: it cannot be created.
    """
    if folder.parent != folder and not folder.parent.is_dir():
        make_folder(folder.parent, flush=flush)
    try:
        folder.mkdir(mode=0o700)  # another process may have created it since
    except FileExistsError:
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None
    else:
        if flush:
            sync(folder.parent)


@contextmanager
def replacing(path: Path, *, mode: int = 0o600, flush: bool = True) -> Iterator[BinaryIO]:
    """Opens a new file for writing; it replaces `path` when the block ends without an error.

    At any instant, `path` has either its old content or the complete new content. If it is a link, the link is replaced. A
    library that needs a path may write to the file's `name`.

    Args:
        path: the file to replace.
        mode: the file's mode, before the umask.
        flush: whether to flush the file, so that this also holds after a power cut; it takes some milliseconds.

    Raises:
        OSError: it cannot be written; `path` is not changed.
    """
    draft = draft_path(path)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | NO_LINK | _BINARY
    try:
        with open(draft, "wb", opener=lambda name, _: os.open(name, flags, mode)) as file:
            yield file
            if flush:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:  # the error of a failed write does not name the file
            error.filename = str(path)
        with suppress(OSError):
            draft.unlink()
        raise
    if flush:
        sync(path.parent)  # the rename is on the disk when the folder is


def draft_path(path: Path) -> Path:
    """Returns a random name next to `path`, to write to before renaming."""
    return path.with_name(f"{DRAFT_PREFIX}{secrets.token_hex(8)}")


def remove_abandoned_drafts(folder: Path, older_than_s: float = ABANDONED_AFTER_S) -> None:
    """Removes the drafts that killed processes left in a folder.

    Args:
        folder: the folder; its subfolders are not searched.
        older_than_s: the minimum age, in seconds since the last write. A living process writes to its draft within an hour.
    """
    newest = time() - older_than_s
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.name.startswith(DRAFT_PREFIX) and entry.stat(follow_symlinks=False).st_mtime <= newest:
                    Path(entry.path).unlink()


def open_regular(path: Path, *, follow: bool = True) -> BinaryIO:
    """Opens a regular file for reading; refuses a pipe or a device without waiting for it.

    Args:
        path: the file.
        follow: whether it may be a link.

    Raises:
        OSError: it cannot be read, or is not a regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | NO_WAIT | _BINARY | (0 if follow else NO_LINK))
    except OSError as error:
        if error.errno == errno.ELOOP and path.is_symlink():
            raise OSError(errno.ELOOP, "it is a link", str(path)) from None
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_small(path: Path, at_most: int) -> bytes:
    """Returns the content of a regular file.

    Raises:
        OSError: it cannot be read, is not a regular file, or has more than `at_most` bytes.
    """
    with open_regular(path) as file:
        content = file.read(at_most + 1)
    if len(content) > at_most:
        raise OSError(errno.EFBIG, f"it holds more than {at_most:,} bytes", str(path))
    return content


def sync(path: Path) -> None:
    """Flushes a file to the disk; for a folder, its entries: files that were created, renamed or removed in it.

    Raises:
        OSError: the disk reports an error.
    """
    if os.name != "posix":  # Windows cannot open folders
        return
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:  # a folder that cannot be read may still accept files
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # the file system cannot flush folders
            error.filename = str(path)
            raise
    finally:
        os.close(descriptor)


def write(path: Path, content: str) -> None:
    """Writes a file with mode 0600, and overwrites its content.

    Raises:
        OSError: it cannot be written, or is a symbolic link.
    """
    with os.fdopen(os.open(path, _IN_PLACE | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content.encode())


def append(path: Path, content: str) -> None:
    """Appends to a file; a new one gets mode 0600.

    Raises:
        OSError: it cannot be written, or is a symbolic link.
    """
    with os.fdopen(os.open(path, _IN_PLACE | os.O_APPEND, 0o600), "wb") as file:
        file.write(content.encode())


def restrict_to_owner(folder: Path) -> None:
    """Removes all permissions of group and others from a folder and its content.

    Symbolic links are not followed, and files with several hard links keep their mode, because the other links may belong to
    another user. Does nothing on a file system without modes.
    """
    with suppress(OSError):
        mode = folder.stat().st_mode
        if mode & 0o077:
            folder.chmod(mode & 0o700)
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    restrict_to_owner(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    found = entry.stat(follow_symlinks=False)
                    if found.st_mode & 0o077 and found.st_nlink == 1:
                        Path(entry.path).chmod(found.st_mode & 0o700)
