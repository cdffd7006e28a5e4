"""Explains errors of the operating system in one sentence: no memory, no descriptors, no space, no working directory."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rbt_ray.errors import RbtError, ResourceError

_NO_MEMORY = "there is not enough memory. Free some, raise the limit (`ulimit -v`), or use less data or fewer workers."
_NO_FILES = "too many files are open. Raise the limit (`ulimit -n`), or use fewer workers."
_NO_SPACE = "the disk is full. Free some space, or choose another folder."
_NO_PROCESS = "no more threads or processes can be started. Raise the limit (`ulimit -u`), or use fewer workers."
_BY_NUMBER = {
    errno.ENOMEM: _NO_MEMORY,
    errno.EMFILE: _NO_FILES,
    errno.ENFILE: "the machine has too many open files. Close programs, or use fewer workers.",
    errno.EAGAIN: _NO_PROCESS,
    errno.ENOSPC: _NO_SPACE,
    errno.EDQUOT: "the disk quota is used up. Free some space, or choose another folder.",
    errno.EFBIG: "a file would be larger than allowed. Raise the limit (`ulimit -f`), or choose another folder.",
    errno.EIO: "the disk reports an error. Check it (`dmesg`), or choose another folder.",
    errno.EROFS: "the file system is read-only. Choose another folder.",
}
_BY_TEXT = {
    "failed to map segment": _NO_MEMORY,
    "cannot allocate memory": _NO_MEMORY,
    "out of memory": _NO_MEMORY,
    "too many open files": _NO_FILES,
    "can't start new thread": _NO_PROCESS,
}
"""Texts of errors without a number: of the dynamic loader (ImportError), threads (RuntimeError) and pandas' parser."""
_EXPLAINED = (MemoryError, OSError, ImportError, RuntimeError)


def explanation(error: BaseException) -> str | None:
    """Returns which resource is missing and what to do; None if the error has another cause."""
    if isinstance(error, MemoryError):  # the errors of numpy and pyarrow are subclasses
        return _NO_MEMORY
    if isinstance(error, OSError):
        if error.errno in _BY_NUMBER:
            where = "" if error.filename is None else f"{error.filename}: "
            return where + _BY_NUMBER[error.errno]
        if error.errno == errno.ENOENT:
            if error.filename is None and "temporary directory" in str(error):
                return "no folder for temporary files can be written. Set TMPDIR to one that can."
            if not _has_working_directory():
                return "the working directory no longer exists. Change to a folder that does."
    text = str(error).lower()
    return next((advice for sign, advice in _BY_TEXT.items() if sign in text), None)


@contextmanager
def explain_os_errors() -> Iterator[None]:
    """Raises a `ResourceError` for errors that `explanation` can explain; also usable as a decorator."""
    try:
        yield
    except RbtError:
        raise
    except _EXPLAINED as error:
        if (why := explanation(error)) is None:
            raise
        raise ResourceError(why) from error


def _has_working_directory() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True
