"""Folders and files for their owner only, whatever the umask says, whatever else lies in their folder, and on the disk.

A file is written under a random name beside its place and moved there when it is whole. The name cannot be guessed and
is never opened if it exists, so a link that somebody left in a shared folder leads no write elsewhere.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import time  # the clock itself: an objective may put another in its place
from typing import BinaryIO

DRAFT_PREFIX = ".writing-"
"""What the name of an unfinished file begins with."""
ABANDONED_AFTER_S = 3600.0
"""After so long a temporary file that nobody has written to belongs to no living process."""
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # opening a pipe would wait for a process at its other end
_BINARY = getattr(os, "O_BINARY", 0)

_IN_PLACE = os.O_WRONLY | os.O_CREAT | _NO_LINK


def make_folder(folder: Path, *, flush: bool = True) -> None:
    """Makes a folder and those above it that are missing, all with mode 0700; one that exists stays as it is.

    Args:
        folder: what to make.
        flush: whether it is also there after a power cut; it takes some milliseconds.

    Raises:
        OSError: it cannot be made.
    """
    try:
        folder.mkdir(mode=0o700)
    except FileNotFoundError:
        if folder.parent == folder or folder.parent.is_dir():  # it takes no folders, as /proc, or was removed
            raise
        make_folder(folder.parent, flush=flush)
        make_folder(folder, flush=flush)
    except FileExistsError:
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None
    else:
        if flush:
            sync(folder.parent)


@contextmanager
def replacing(path: Path, *, mode: int = 0o600, flush: bool = True) -> Iterator[BinaryIO]:
    """A new file to write to; it replaces `path` when the block ends without an error.

    `path` holds its old content or all of the new one at any instant. If it is a link, the link is replaced. A library
    that wants a path may write to the file's `name`.

    Args:
        path: what to write.
        mode: the file's rights, of which the umask takes some.
        flush: whether that also holds after a power cut; it takes some milliseconds.

    Raises:
        OSError: it cannot be written; `path` is as it was.
    """
    draft = draft_path(path)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_LINK | _BINARY
    try:
        with open(draft, "wb", opener=lambda name, _: os.open(name, flags, mode)) as file:
            yield file
            if flush:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:  # a write that failed does not name its file
            error.filename = str(path)
        with suppress(OSError):
            draft.unlink()
        raise
    if flush:
        sync(path.parent)  # the rename itself is on the disk when the folder is


def draft_path(path: Path) -> Path:
    """A random name beside `path` to write it under first."""
    return path.with_name(f"{DRAFT_PREFIX}{secrets.token_hex(8)}")


def remove_abandoned_drafts(folder: Path, older_than_s: float = ABANDONED_AFTER_S) -> None:
    """Removes the drafts that killed processes left in a folder.

    Args:
        folder: where to look; the folders in it are left alone.
        older_than_s: how long ago a draft was last written to. A living process writes to its own within the hour.
    """
    newest = time() - older_than_s
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.name.startswith(DRAFT_PREFIX) and entry.stat(follow_symlinks=False).st_mtime <= newest:
                    Path(entry.path).unlink()


def open_regular(path: Path, *, follow: bool = True) -> BinaryIO:
    """Opens a regular file to read; a pipe or a device is refused, not waited for.

    Args:
        path: of the file.
        follow: whether it may be a link.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | _NO_WAIT | _BINARY | (0 if follow else _NO_LINK))
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
    """The content of a regular file.

    Raises:
        OSError: it cannot be read, is no regular file, or holds more than `at_most` bytes.
    """
    with open_regular(path) as file:
        content = file.read(at_most + 1)
    if len(content) > at_most:
        raise OSError(errno.EFBIG, f"it holds more than {at_most:,} bytes", str(path))
    return content


def sync(path: Path) -> None:
    """Flushes a file to the disk; of a folder, its entries: what was made, renamed or removed in it.

    Raises:
        OSError: the disk reports an error.
    """
    if os.name != "posix":  # Windows does not open folders
        return
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:  # files can be made in a folder that cannot be read
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that flushes no folders
            error.filename = str(path)
            raise
    finally:
        os.close(descriptor)


def write(path: Path, content: str) -> None:
    """Writes a file with mode 0600, in place of what it held.

    Raises:
        OSError: it cannot be written, or is a symbolic link.
    """
    with os.fdopen(os.open(path, _IN_PLACE | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content.encode())


def append(path: Path, content: str) -> None:
    """Adds to a file, which gets mode 0600 where there is none yet.

    Raises:
        OSError: it cannot be written, or is a symbolic link.
    """
    with os.fdopen(os.open(path, _IN_PLACE | os.O_APPEND, 0o600), "wb") as file:
        file.write(content.encode())


def restrict_to_owner(folder: Path) -> None:
    """Takes from all but the owner every right to a folder and what is in it.

    Symbolic links are not followed, and files with several hard links keep their mode: they are also somebody else's. A
    file system that has no modes is left as it is.
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
