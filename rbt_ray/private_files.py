"""Folders and files for their owner only, whatever the umask says."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

_IN_PLACE = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it that are missing, all with mode 0700; one that exists stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except FileNotFoundError:
        if folder.parent == folder:  # the working directory, which somebody has removed
            raise
        make_folder(folder.parent)
        make_folder(folder)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None


def create(path: Path) -> int:
    """A descriptor of a new file with mode 0600, to write to.

    Raises:
        OSError: it cannot be made, or there is one already.
    """
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


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


def close_to_others(folder: Path) -> None:
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
                    close_to_others(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    found = entry.stat(follow_symlinks=False)
                    if found.st_mode & 0o077 and found.st_nlink == 1:
                        Path(entry.path).chmod(found.st_mode & 0o700)
