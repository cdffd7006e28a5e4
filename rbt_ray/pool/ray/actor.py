"""What a Ray actor does: it wraps a `Worker`, and answers in plain data whatever happens."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import ray
from ray.exceptions import ObjectLostError

from rbt_ray.pool.driver_state import DriverState
from rbt_ray.pool.memory import memory_limit_too_low
from rbt_ray.pool.pool import Batch, Job
from rbt_ray.pool.process_setup import end_forks_with_this_process
from rbt_ray.pool.ray import exit_notes, object_store
from rbt_ray.pool.ray.driver_state import SentState

Loaded = Literal["ready", "outdated", "bundle lost", "job lost", "error"]

_dumps, _loads = pickle.dumps, pickle.loads  # an objective can replace those of the module


@dataclass(frozen=True, slots=True)
class ActorInfo:
    """What an actor says of itself when it is ready.

    Args:
        pid: its process id.
        process: Ray's id of the process, unlike any other in the cluster.
        node: the id of the node it runs on.
        memory: bytes that it holds.
    """

    pid: int
    process: str
    node: str
    memory: int


class RayActor:
    """A worker that Ray carries batches to.

    Calls and answers are bytes: Ray moves those without looking inside, in half the time.

    Args:
        name: the worker's.
        memory_limit: bytes of memory of its own above which it ends; None: as much as Ray lets it have.
        prices: whether its first study reads any.
    """

    def __init__(self, name: str, memory_limit: int | None, prices: bool) -> None:
        import rbt_ray.pool.local.preload  # before it is ready, so that no trial's time is spent on importing

        if prices:
            import rbt_ray.pool.preload_prices  # noqa: F401
        from rbt_ray.pool.worker import Worker

        self._worker = Worker(name)
        self._own = DriverState.here()
        self._job: Job | None = None
        self._is_watched = False
        self._memory_limit = memory_limit
        exit_notes.record_exit_code()
        end_forks_with_this_process()

    def hello(self) -> ActorInfo:
        """The actor is alive and ready."""
        here = ray.get_runtime_context()
        return ActorInfo(os.getpid(), here.get_worker_id(), here.get_node_id(), exit_notes.own_memory())

    def load(
        self, key: str, payload: Sequence[Any], bundles: Mapping[str, Any], sent: SentState | None
    ) -> tuple[Loaded, str]:
        """Makes ready for a job's batches; "ready" may come with a sentence for the user.

        Args:
            key: the job's.
            payload: the one object that holds its bytes.
            bundles: the objects of the bundle and the files that the job reads, by version.
            sent: what of the driver's state trials are to find; None: nothing.
        """
        if bundles:
            import rbt_ray.pool.preload_prices  # noqa: F401 - where its first study read none
        if self._memory_limit is not None and not self._is_watched:
            if (used := exit_notes.own_memory()) > self._memory_limit:
                return "error", memory_limit_too_low(used, self._memory_limit)
            exit_notes.enforce_memory_limit(self._memory_limit)
            self._is_watched = True
        try:
            job = Job(key, ray.get(payload[0]))
        except ObjectLostError as error:
            return "job lost", str(error)
        note = ""
        if sent is not None:
            state, note = self._state_from(sent)
            job = replace(job, state=state)
        if (reason := self._worker.outdated(job)) is not None:
            return "outdated", reason
        try:
            object_store.offer(bundles)
            self._worker.load(job)
        except ObjectLostError as error:
            return "bundle lost", str(error)
        except BaseException as error:  # the driver turns it into an error for the user
            return "error", str(error)
        self._job = job
        return "ready", note

    def run(self, message: bytes) -> bytes:
        """The pickled `Returned` of a batch; no bytes where its job is not the one that is loaded."""
        key, parts = _loads(message)
        job = self._job
        if job is None or job.key != key:
            return b""
        return _dumps(self._worker.run(Batch.received(job, parts)), 5)

    def _state_from(self, sent: SentState) -> tuple[DriverState, str]:
        runtime_env = ray.get_runtime_context().runtime_env
        return sent.on(self._own, runtime_env, runtime_env.get("env_vars") or {})

    def wait_for_the_end(self) -> None:
        """Does nothing until the process is killed."""
        threading.Event().wait()


def pack(batch: Batch) -> bytes:
    """The message that `RayActor.run` takes."""
    return _dumps((batch.job.key, batch.message()), 5)
