"""What a worker process of the local pool does from its start to its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from os import _exit
from typing import TYPE_CHECKING

from rbt_ray.pool.frames import WorkerEnd
from rbt_ray.pool.pool import Batch, Job

if TYPE_CHECKING:
    from rbt_ray.pool.worker import Worker


@dataclass(frozen=True, slots=True)
class Outdated:
    """The answer to a job that a new process has to load; see `Worker.outdated`."""

    reason: str


def serve(pipe: Connection, life: Connection, name: str, inherited: Sequence[Connection]) -> None:
    """A worker process's main loop.

    Args:
        pipe: jobs and batches come in by it, answers go out.
        life: closes with the driver.
        name: the worker's.
        inherited: the driver's own ends, which a forked process holds too and must let go.
    """
    from rbt_ray.pool.process_setup import set_up_worker

    for end in inherited:
        end.close()
    set_up_worker(life)
    from rbt_ray.pool.worker import Worker

    try:
        _work(WorkerEnd(pipe), Worker(name))
    except (EOFError, OSError):  # the driver is gone
        return
    except BaseException:  # an objective broke the process, which may not even be able to print a traceback
        _exit(1)


def _work(driver: WorkerEnd, worker: Worker) -> None:
    driver.answer("ready")
    job: Job | None = None
    while True:
        message = driver.receive()
        if isinstance(message, Job):
            job = message
            driver.answer(_load(worker, job))
        else:
            assert job is not None
            driver.answer(worker.run(Batch.received(job, message)))


def _load(worker: Worker, job: Job) -> Outdated | str | None:
    """Loads the job; an error's message is for the user."""
    if (reason := worker.outdated(job)) is not None:
        return Outdated(reason)
    try:
        worker.load(job)
    except Exception as error:
        return f"{error}"
    return None
