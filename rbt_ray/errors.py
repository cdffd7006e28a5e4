"""One exception for each case a caller can act on. Every message says what is wrong, where, and what to do."""


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


class RuleError(ObjectiveError):
    """A rule cannot be compiled; the message shows its line."""


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
    """An argument of `restore` does not match the study."""


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


class FailedTrialsWarning(UserWarning):
    """Trials of a study failed, or none of them can be the best; the message says why."""
