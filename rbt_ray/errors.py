"""One exception for each thing a caller can act on. Every message says what came, where, and what to do."""


class RbtError(Exception):
    """The base of everything `rbt_ray` raises on purpose."""


class InputError(RbtError, ValueError):
    """What the caller gave cannot be used; nothing was started. The command line exits with 2."""


class ResourceError(RbtError):
    """The machine, or a limit of this process, has too little memory, disk space, files or processes left."""


class SpaceError(InputError):
    """A parameter space, a domain of it, or a config that does not lie in it."""


class BundleError(InputError):
    """Price data that cannot be used, with file, symbol and row where they are known."""


class BundleNotFoundError(BundleError, LookupError):
    """No bundle of that name is registered."""


class PricesChangedError(RbtError):
    """A bundle's prices changed under a study; the trials since its last check are marked and must run again."""


class ObjectiveError(InputError):
    """An objective that cannot be called, loaded or sent to a worker."""


class SettingError(InputError):
    """A value in TuneConfig, RunConfig or Costs that is not one of those it may have."""


class StudyFileError(InputError):
    """A TOML study file with an unknown key, a wrong type or a missing part."""


class ShapeError(InputError):
    """An array of the wrong shape."""


class StudyExistsError(InputError, FileExistsError):
    """The study's folder is in use; `Tuner.restore` goes on with it."""


class StudyNotFoundError(InputError, FileNotFoundError):
    """There is no study in that folder."""


class StudyMismatchError(InputError):
    """What was passed to `restore` is not what the study was begun with."""


class StudyLockedError(InputError):
    """Another living process is running this study."""


class JournalError(RbtError):
    """The journal cannot be read or written."""


class JournalBlockedError(JournalError):
    """The journal cannot be written now: the disk is full or reports an error, or another process holds the file."""

    def __init__(self, message: str, reason: str, *, is_fault: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        """What is in the way, without advice."""
        self.is_fault = is_fault
        """Whether the disk reports an error, which may be over in a moment or never."""


class ObjectiveResultError(RbtError, TypeError):
    """An objective returned something that is not a number, a dict of metrics or a Backtest."""


class LookaheadError(RbtError):
    """An objective's past results change when only later prices do."""


class SearchStalledError(RbtError):
    """The searcher proposes nothing, waits for nothing and is not done."""


class BenchError(RbtError):
    """A measurement that cannot be trusted: a command that failed, or two sides that gave different results."""


class NotEquivalentError(BenchError):
    """Two alternatives that were to be compared by their time do not give the same."""


class WorkerStartError(RbtError):
    """Workers die before they take their first batch."""


class WorkerDiedError(RbtError, RuntimeError):
    """The process that made a call ended before the call did."""


class NoResultError(RbtError, LookupError, RuntimeError):
    """No trial completed at full fidelity, or reported the metric; Ray Tune raises a RuntimeError there."""


class StudyInterrupted(RbtError, KeyboardInterrupt):  # noqa: N818 - as KeyboardInterrupt is
    """Ctrl-C stopped a study cleanly; what finished is recorded, and `Tuner.restore` goes on."""


class NotSupportedError(InputError, NotImplementedError):
    """Something of Ray Tune that has no counterpart here; the message says what to use."""


class TuneError(RbtError):
    """What became of a trial that did not complete, as `Result.error` has it."""
