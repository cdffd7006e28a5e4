"""The main loop of a worker process of the local pool."""

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
    """The answer to a job that only a new process can load; see `Worker.load`."""

    reason: str


def serve(pipe: Connection, life: Connection, name: str, inherited: Sequence[Connection]) -> None:
    """Runs a worker process until its driver ends or closes the pipe.

    Args:
        pipe: receives jobs and batches, and sends answers.
        life: closes when the driver ends.
        name: the name of the worker.
        inherited: the driver's ends of pipes; a forked process holds copies of them and must close these.
    """
    from rbt_ray.pool.process_setup import set_up_worker

    for end in inherited:
        end.close()
    set_up_worker(life)
    from rbt_ray.pool.worker import Worker

    try:
        answer_messages(WorkerEnd(pipe), Worker(name))
    except (EOFError, OSError):  # the driver is gone
        return
    except BaseException:  # an objective broke the process, which may not even be able to print a traceback
        _exit(1)


def answer_messages(driver: WorkerEnd, worker: Worker) -> None:
    """Loads jobs and evaluates batches until the driver closes its pipe; raises EOFError or OSError then."""
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
    """Loads the job; returns None, `Outdated`, or the message of an error for the user."""
    try:
        reason = worker.load(job)
    except Exception as error:
        return f"{error}"
    return None if reason is None else Outdated(reason)
