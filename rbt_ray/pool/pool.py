"""What a pool of workers is: it moves batches to workers and brings back what they say, and knows nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, cast

if TYPE_CHECKING:
    from pathlib import Path

    from rbt_ray.columns import Outcomes
    from rbt_ray.data.bundle import Bundle
    from rbt_ray.data.file_tree import FileTree
    from rbt_ray.objectives.review import Review
    from rbt_ray.pool.driver_state import DriverState
    from rbt_ray.types import Checkpoint, FloatArray, IntArray

_MAX_REASON_CHARS = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """What every batch of a study has in common, packed once: a pool sends it to a worker before its first batch.

    Args:
        key: tells one job from another.
        payload: a `task.Task`, packed by cloudpickle.
        reads: the versions of the bundle and the files it reads.
        metric: the study's; no trial completes without a finite one.
        state: the driver's, which workers enter before they load the job; None: they stay in their own.
    """

    key: str
    payload: bytes
    reads: tuple[str, ...] = ()
    metric: str = ""
    state: DriverState | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class PricesChanged:
    """A worker's answer to any batch when its prices are not those that the bundle was made of.

    Args:
        where: which differ, for people.
    """

    where: str


Answer: TypeAlias = "Outcomes | Review | PricesChanged | bytes | None"
"""What a worker sends back for a batch; bytes are the packed results of function calls, which are no trials."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Trials of one job at one fidelity, evaluated together.

    Args:
        number: unique in a driver.
        job: whose trials they are.
        trials: ``(n,)`` trial numbers.
        points: ``(n, n_params)`` their configs.
        fidelity: the share of the training bars they use.
        purpose: "score" gives `Outcomes`; "review" re-runs a config in detail; "check" holds no trial, and compares the
            prices that the worker reads with their checksums.
        starts: where objectives that report go on, by row of the batch.
    """

    number: int
    job: Job
    trials: IntArray
    points: FloatArray
    fidelity: float = 1.0
    purpose: Literal["score", "review", "check"] = "score"
    starts: Mapping[int, Checkpoint] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.trials)

    def message(self) -> tuple[Any, ...]:
        """All of it but the job, for a worker that has this."""
        return self.number, self.trials, self.points, self.fidelity, self.purpose, self.starts

    def accept(self, answer: Any) -> Outcomes | Review | None:
        """Returns what a worker answered, as it can be recorded.

        Raises:
            ValueError: it is no answer to this batch.
            PricesChangedError: the worker does not read the prices that the study began with.
        """
        from rbt_ray.pool import answers  # a worker that starts needs none of them

        if type(answer) is PricesChanged:
            raise answers.prices_changed(answer.where)
        if self.purpose == "check":
            answers.check_of(answer)
            return None
        if self.purpose == "review":
            return answers.review_of(answer)
        return answers.outcomes_of(answer, len(self), self.job.metric)

    @classmethod
    def received(cls, job: Job, message: tuple[Any, ...]) -> Batch:
        """The batch again."""
        number, *rest = message
        return cls(number, job, *rest)


@dataclass(frozen=True, slots=True, eq=False)
class Returned:
    """A batch that came back, with what the worker says of it or the reason why it is lost.

    Args:
        number: the batch's.
        worker: the name of the worker that held it.
        answer: `Outcomes` or a `Review`, by the batch's purpose; None for a check, or when lost.
        lost: None, or why: "killed by signal 9 (SIGKILL)".
        cpu_s: processor seconds the evaluation took.
        started: seconds since the epoch.
        wall_s: seconds from start to end on the worker; of one that is lost, as the driver saw it, or 0.
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

    @property
    def outcomes(self) -> Outcomes:
        """The answer to a batch with the purpose "score"; `Batch.accept` has checked it."""
        return cast("Outcomes", self.answer)

    @property
    def review(self) -> Review:
        """The answer to a batch with the purpose "review"; `Batch.accept` has checked it."""
        return cast("Review", self.answer)


class WorkItem(Protocol):
    """What a worker is sent: a `Batch`, or another message that its main loop takes and answers."""

    @property
    def number(self) -> int:
        """Unique in a driver."""
        ...

    @property
    def job(self) -> Job:
        """The job that the worker loads first."""
        ...

    def __len__(self) -> int:
        """How many trials it counts as towards `recycle_after`."""
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
    """A bundle on its way to a worker: small and picklable, the arrays stay where they are."""

    @property
    def version(self) -> str:
        """The bundle's."""
        ...

    def open(self) -> Bundle:
        """The bundle, read-only, not copied on the machine it lies on."""
        ...


class FilesRef(Protocol):
    """Files on their way to a worker."""

    @property
    def version(self) -> str:
        """The files'."""
        ...

    def open(self) -> Path:
        """The folder that has them on this host."""
        ...


class WorkerPool(Protocol):
    """Transport and nothing else: no retries, no seeds, no records."""

    @property
    def is_alive(self) -> bool:
        """Whether it can take batches: what carries it may have been shut down by others."""
        ...

    @property
    def capacity(self) -> int:
        """How many batches can be under way at once."""
        ...

    @property
    def n_workers(self) -> int:
        """How many evaluate at the same time."""
        ...

    @property
    def batch_seconds(self) -> float:
        """What a batch should take, so that carrying it costs little beside."""
        ...

    @property
    def n_checks(self) -> int:
        """How many checks of the prices, one for each idle worker, reach every copy of them."""
        ...

    def share(self, bundle: Bundle) -> BundleRef:
        """Makes a bundle reachable for every worker; once a study."""
        ...

    def share_files(self, files: FileTree) -> FilesRef:
        """Makes a folder's files reachable for every worker; once a study."""
        ...

    def submit(self, batch: Batch) -> None:
        """Sends a batch; returns at once. At most `capacity` may be under way."""
        ...

    def wait(self, timeout: float | None = None) -> Sequence[Returned]:
        """What came back, as soon as anything did; empty after `timeout` seconds."""
        ...

    def taken_at(self, number: int) -> float | None:
        """When a worker began to evaluate the batch (`time.monotonic`); None while it waits, as for a worker's start."""
        ...

    def cancel(self, number: int, reason: str) -> None:
        """Kills the worker that holds the batch, which comes back as lost for that reason.

        One that no worker has begun with comes back in its turn, and no worker is killed for it where that can be.
        """
        ...

    def recall(self) -> list[int]:
        """Takes back batches that wait for a worker, as many as can be; their numbers. They do not come back."""
        ...

    def rest(self) -> bool:
        """Gives back, until the next batch, what idle workers keep from others; False where only `close` does."""
        ...

    def close(self) -> None:
        """Ends the workers and frees what they shared."""
        ...
