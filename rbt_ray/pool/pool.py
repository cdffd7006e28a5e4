"""WorkerPool: the protocol of all backends, and the jobs, batches and results that they transfer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, cast

from rbt_ray.errors import PricesChangedError

if TYPE_CHECKING:
    from pathlib import Path

    from rbt_ray.columns import Outcomes
    from rbt_ray.data.bundle import Bundle
    from rbt_ray.data.file_tree import FileTree
    from rbt_ray.objectives.out_of_sample import OutOfSample
    from rbt_ray.objectives.review import Review
    from rbt_ray.pool.driver_state import DriverState
    from rbt_ray.study.windows import Window
    from rbt_ray.types import Checkpoint, FloatArray, IntArray

_MAX_REASON_CHARS, _MAX_LOCATION_CHARS = 10_000, 500


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """The part that all batches of a study share, packed once; a pool sends it to a worker before its first batch.

    Args:
        key: unique among jobs.
        payload: a pickled `job.Task`.
        reads: the versions of the bundle and the files that it reads.
        metric: the metric of the study; a trial completes only with a finite value.
        state: the driver's state, which workers apply before they load the job; None: they keep their own.
    """

    key: str
    payload: bytes
    reads: tuple[str, ...] = ()
    metric: str = ""
    state: DriverState | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class PricesChanged:
    """A worker's answer to any batch if its prices differ from those of the bundle.

    Args:
        where: a description of the prices that differ.
    """

    where: str


Answer: TypeAlias = "Outcomes | Review | OutOfSample | PricesChanged | bytes | None"
"""The answer of a worker to a batch. Bytes are the packed results of function calls, which are not trials."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Trials of one job at one fidelity, evaluated together.

    Args:
        number: unique in a driver.
        job: that the trials belong to.
        trials: ``(n,)`` trial numbers.
        points: ``(n, n_params)`` their configs.
        fidelity: the share of the training bars that they use.
        purpose: "score" returns `Outcomes`; "sums" does, with block sums for all trials, drawn or not; "review" re-runs a
            config in detail; "test" runs a config on the test bars of `window`; "check" has no trial, and compares the
            prices that the worker reads with their checksums.
        starts: the checkpoints from which trials continue, by row of the batch.
        window: the window to test on.
    """

    number: int
    job: Job
    trials: IntArray
    points: FloatArray
    fidelity: float = 1.0
    purpose: Literal["score", "sums", "review", "test", "check"] = "score"
    starts: Mapping[int, Checkpoint] = field(default_factory=dict)
    window: Window | None = None

    def __len__(self) -> int:
        return len(self.trials)

    def message(self) -> tuple[Any, ...]:
        """Returns all of it but the job, for a worker that has loaded the job."""
        return self.number, self.trials, self.points, self.fidelity, self.purpose, self.starts, self.window

    def accept(self, answer: Any) -> Outcomes | Review | OutOfSample | None:
        """Returns a worker's answer in a form that can be recorded.

        Raises:
            ValueError: the answer is not valid for this batch.
            PricesChangedError: the worker's prices differ from those that the study began with.
        """
        from rbt_ray import recordable
        from rbt_ray.pool import answers  # not at the top: a worker that starts does not need it

        if type(answer) is PricesChanged:
            raise PricesChangedError(recordable.text(answer.where)[:_MAX_LOCATION_CHARS])
        if self.purpose == "check":
            recordable.require(answer is None, "answer", answer)
            return None
        if self.purpose == "review":
            return answers.review_of(answer)
        if self.purpose == "test":
            return answers.out_of_sample_of(answer)
        return answers.outcomes_of(answer, len(self), self.job.metric)

    @classmethod
    def received(cls, job: Job, message: tuple[Any, ...]) -> Batch:
        """Returns the batch whose `message` a worker received."""
        number, *rest = message
        return cls(number, job, *rest)


@dataclass(frozen=True, slots=True, eq=False)
class Returned:
    """The result of a batch: the worker's answer, or the reason why the batch is lost.

    Args:
        number: the number of the batch.
        worker: the name of the worker that held it.
        answer: `Outcomes`, a `Review` or an `OutOfSample`, by the batch's purpose; None for a check, or if lost.
        lost: None, or the reason, such as "killed by signal 9 (SIGKILL)".
        cpu_s: processor seconds of the evaluation.
        started: when the evaluation began, in seconds since the epoch.
        wall_s: seconds from start to end on the worker; of a lost batch, as the driver measured them, or 0.
        unfit: whether a trial damaged the worker's process, which must be replaced.
    """

    number: int
    worker: str
    answer: Answer = None
    lost: str | None = None
    cpu_s: float = 0.0
    started: float = 0.0
    wall_s: float = 0.0
    unfit: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles the fields only, as `Column` does."""
        parts = self.number, self.worker, self.answer, self.lost, self.cpu_s, self.started, self.wall_s, self.unfit
        return Returned, parts

    @property
    def outcomes(self) -> Outcomes:
        """The answer to a batch with the purpose "score" or "sums"; `Batch.accept` has checked it."""
        return cast("Outcomes", self.answer)


class WorkItem(Protocol):
    """A message for a worker: a `Batch`, or another one that its main loop answers."""

    @property
    def number(self) -> int:
        """Unique in a driver."""
        ...

    @property
    def job(self) -> Job:
        """The job that the worker loads first."""
        ...

    def __len__(self) -> int:
        """The number of trials that it adds to the count for `recycle_after`."""
        ...

    def message(self) -> Any:
        """Returns what is sent: all of it but the job."""
        ...

    def accept(self, answer: Any) -> Any:
        """Returns the answer in a form that the driver can use; raises ValueError for an invalid one."""
        ...


def received(message: Any, sent: WorkItem, worker: str) -> Returned:
    """Returns what a worker answered; an invalid answer makes the batch lost and the worker unfit.

    An objective can change anything in the process it runs in, our own code included. The driver therefore trusts no part
    of a message: it builds a new `Returned` from the parts that are valid.

    Args:
        message: what arrived.
        sent: the batch that it answers.
        worker: the name by which the driver knows the worker.
    """
    from rbt_ray import recordable  # not at the top: a worker that starts does not need it
    from rbt_ray.recordable import require

    try:
        require(type(message) is Returned, "message", message)
        require(type(message.number) is int and message.number == sent.number, "number", message.number)
        lost, answer = message.lost, None
        if lost is None:
            answer = sent.accept(message.answer)
        else:
            lost = recordable.text(lost)[:_MAX_REASON_CHARS]
        cpu_s, started, wall_s = map(recordable.seconds, (message.cpu_s, message.started, message.wall_s))
        unfit = lost is not None or message.unfit is not False
    except (ValueError, AttributeError) as error:  # an object that was not made by its class may lack any attribute
        return Returned(sent.number, worker, lost=f"it sent an answer that cannot be recorded: {error}", unfit=True)
    return Returned(sent.number, worker, answer, lost, cpu_s=cpu_s, started=started, wall_s=wall_s, unfit=unfit)


class BundleRef(Protocol):
    """A reference to a bundle: small and picklable, without the arrays."""

    @property
    def version(self) -> str:
        """The version of the bundle."""
        ...

    def open(self) -> Bundle:
        """Returns the bundle, read-only and without a copy on the machine that holds it."""
        ...


class FilesRef(Protocol):
    """A reference to the files of an objective."""

    @property
    def version(self) -> str:
        """The version of the files."""
        ...

    def open(self) -> Path:
        """Returns the folder with the files on this host."""
        ...


class WorkerPool(Protocol):
    """Transfers batches to workers and returns their results. Retries, seeds and records are not its job."""

    @property
    def is_alive(self) -> bool:
        """Whether it can take batches; others may have shut down the cluster it runs on."""
        ...

    @property
    def capacity(self) -> int:
        """The number of batches that can be submitted at the same time."""
        ...

    @property
    def n_workers(self) -> int:
        """The number of workers that evaluate batches at the same time. Other threads read it too."""
        ...

    @property
    def batch_seconds(self) -> float:
        """The seconds that a batch should take, so that its transfer costs little in comparison."""
        ...

    @property
    def n_checks(self) -> int:
        """The number of idle workers that must check the prices so that every copy of them is checked."""
        ...

    def share(self, bundle: Bundle) -> BundleRef:
        """Makes a bundle available to every worker; called once per study."""
        ...

    def share_files(self, files: FileTree) -> FilesRef:
        """Makes the files of a folder available to every worker; called once per study."""
        ...

    def submit(self, batch: Batch) -> None:
        """Sends a batch; returns at once. At most `capacity` batches may be unfinished."""
        ...

    def wait(self, timeout: float | None = None) -> Sequence[Returned]:
        """Returns finished batches as soon as there is one; an empty list after `timeout` seconds."""
        ...

    def taken_at(self, number: int) -> float | None:
        """Returns when a worker began to evaluate the batch (`time.monotonic`); None before, as while a worker starts."""
        ...

    def cancel(self, number: int, reason: str) -> None:
        """Kills the worker that holds the batch, which `wait` then returns as lost for that reason.

        If possible, a batch that no worker has begun is returned the same way without killing a worker.
        """
        ...

    def recall(self) -> list[int]:
        """Takes back as many queued batches as possible and returns their numbers; `wait` does not return them."""
        ...

    def rest(self) -> bool:
        """Releases the resources of idle workers until the next batch; returns False if only `close` can do that."""
        ...

    def close(self) -> None:
        """Ends the workers and frees what was shared."""
        ...
