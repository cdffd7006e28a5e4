"""What a worker process of the local pool does from its start to its end."""

from __future__ import annotations

from collections.abc import Sequence
from multiprocessing.connection import Connection

from rbt_ray.pool.pool import Batch, Job


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

    worker = Worker(name)
    pipe.send("ready")
    job: Job | None = None
    while True:
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            return
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
