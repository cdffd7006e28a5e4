"""Folders and files for their owner only, whatever the umask says, and on the disk when they have to be."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it that are missing, all with mode 0700 and durable; one that exists stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
        sync(missing.parent)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def create(path: Path) -> int:
    """A descriptor of a new file with mode 0600, to write to.

    Raises:
        OSError: it cannot be made, or there is one already.
    """
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


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
            raise
    finally:
        os.close(descriptor)
