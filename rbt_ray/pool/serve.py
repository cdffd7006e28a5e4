"""What a worker process of the local pool does from its start to its end."""

from __future__ import annotations

from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from rbt_ray.pool.pool import Batch, Job

if TYPE_CHECKING:
    from rbt_ray.pool.worker import Worker


def serve(pipe: Connection, life: Connection, name: str, inherited: Sequence[Connection]) -> None:
    """A worker process's main loop.

    Args:
        pipe: jobs and batches come in by it, answers go out.
        life: closes with the driver.
        name: the worker's.
        inherited: the driver's own ends, which a forked process holds too and must let go.
    """
    from rbt_ray.pool.settle import settle

    for end in inherited:
        end.close()
    settle(life)
    from rbt_ray.pool.worker import Worker

    try:
        _work(pipe, Worker(name))
    except (EOFError, OSError):  # the driver is gone
        return


def _work(pipe: Connection, worker: Worker) -> None:
    pipe.send("ready")
    job: Job | None = None
    while True:
        message = pipe.recv()
        if isinstance(message, Job):
            job = message
            try:
                worker.load(job)
            except Exception as error:  # the driver turns it into an error for the user
                pipe.send(f"{error}")
            else:
                pipe.send(None)
        else:
            assert job is not None
            pipe.send(worker.run(Batch.received(job, message)))
