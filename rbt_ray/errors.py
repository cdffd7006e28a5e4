"""One exception for each case a caller can act on. Every message says what is wrong, where, and what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


class RbtError(Exception):
    """The base class of all exceptions that `rbt_ray` raises on purpose."""


class InputError(RbtError, ValueError):
    """An argument or input cannot be used; nothing was started. The command line exits with 2."""


class ResourceError(RbtError):
    """The machine, or a limit of this process, has too little memory, disk space, files or processes left."""


class SpaceError(InputError):
    """A parameter space or domain is invalid, or a config is not in its space."""


class BundleError(InputError):
    """Price data cannot be used; the message names file, symbol and row if they are known."""


class BundleNotFoundError(BundleError, LookupError):
    """No bundle of that name is registered."""


class PricesChangedError(RbtError):
    """A bundle's prices changed during a study; the trials since the last check are marked and must run again."""


class ObjectiveError(InputError):
    """An objective cannot be called, loaded or sent to a worker."""


class SettingError(InputError):
    """A value of TuneConfig, RunConfig, Costs or another setting is not allowed."""


class StudyFileError(InputError):
    """A TOML study file has an unknown key, a wrong type or a missing part."""


class ShapeError(InputError):
    """An array has the wrong shape."""


class StudyExistsError(InputError, FileExistsError):
    """There is a study in the folder already; `Tuner.restore` continues it."""


class StudyNotFoundError(InputError, FileNotFoundError):
    """There is no study in that folder."""


class StudyMismatchError(InputError):
    """An argument of `restore` is not the one the study was begun with."""


class StudyLockedError(InputError):
    """Another living process is running this study."""


class JournalError(RbtError):
    """The journal cannot be read or written."""


class JournalBlockedError(JournalError):
    """The journal cannot be written now: the disk is full or reports an error, or another process holds the file."""

    def __init__(self, message: str, reason: str, *, is_fault: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        """The reason, without advice."""
        self.is_fault = is_fault
        """Whether the disk reports an error, which may or may not pass."""


class ObjectiveResultError(RbtError, TypeError):
    """An objective returned something that is not a number, a dict of metrics or a Backtest."""


class LookaheadError(RbtError):
    """An objective's past results change when only later prices do."""


class SearchStalledError(RbtError):
    """The searcher proposes nothing although no trial is open and it is not done."""


class BenchError(RbtError):
    """A measurement is not valid: a command failed, or the two sides gave different results."""


class NotEquivalentError(BenchError):
    """Two alternatives whose times are compared give different results."""


class WorkerStartError(RbtError):
    """Workers died before they took their first batch."""


class WorkerDiedError(RbtError, RuntimeError):
    """The process that made a call ended before the call did."""


class NoResultError(RbtError, LookupError, RuntimeError):
    """No trial completed at full fidelity, or reported the metric; Ray Tune raises a RuntimeError there."""


class StudyInterrupted(RbtError, KeyboardInterrupt):  # noqa: N818 - as KeyboardInterrupt is
    """Ctrl-C stopped a study cleanly; finished trials are recorded, and `Tuner.restore` continues it."""


class NotSupportedError(InputError, NotImplementedError):
    """A feature of Ray Tune is not supported; the message says what to use."""


class TuneError(RbtError):
    """The error of a trial that did not complete, as `Result.error` of `rbt_ray.tune` has it."""


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
    """Replaces errors that `explanation` can explain by a `ResourceError`; also usable as a decorator."""
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
