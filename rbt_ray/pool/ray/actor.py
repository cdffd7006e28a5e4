"""RayActor: a `Worker` in a Ray actor, which returns plain data and raises nothing."""

from __future__ import annotations

import os
import pickle
import socket
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import ray
from ray.exceptions import ObjectLostError

from rbt_ray import environment
from rbt_ray.pool import process_setup
from rbt_ray.pool.driver_state import DriverState
from rbt_ray.pool.memory import memory_limit_too_low
from rbt_ray.pool.pool import Batch, Job
from rbt_ray.pool.process_setup import ONE_THREAD
from rbt_ray.pool.ray import exit_notes, object_store

_NEVER = ("RAY_", "CUDA_")
"""Prefixes of variables that Ray sets for each of its processes."""
Loaded = Literal["ready", "outdated", "bundle lost", "job lost", "error"]
_dumps, _loads = pickle.dumps, pickle.loads  # an objective can replace those of the module


@dataclass(frozen=True, slots=True)
class SentState:
    """The part of a driver's state that other hosts receive.

    Args:
        folder: the working directory of the driver.
        paths: its `sys.path`.
        changes: variables that it has changed since it imported rbt_ray; None for a removed one.
    """

    folder: str | None
    paths: tuple[str, ...]
    changes: dict[str, str | None] = field(repr=False)  # it may hold secrets

    @classmethod
    def of(cls, state: DriverState) -> SentState:
        """Returns the part of a driver's state to send: no variables that the driver inherited, and none of Ray's."""
        changes = {
            name: value
            for name, value in environment.changes(state.variables).items()
            if not name.startswith(_NEVER) and name not in ONE_THREAD
        }
        return cls(state.folder, state.paths, changes)

    def on(self, own: DriverState, runtime_env: Collection[str], variables: Collection[str]) -> tuple[DriverState, str]:
        """Returns the state for an actor, and a sentence for the user if it has to stay in its own folder.

        Args:
            own: the actor's state when it started.
            runtime_env: the names that Ray's `runtime_env` sets; a "working_dir" takes precedence.
            variables: the environment variables that it sets; they take precedence.
        """
        changes = {name: value for name, value in self.changes.items() if name not in variables}
        merged = {**own.variables, **changes}
        state = replace(
            own,
            paths=(*self.paths, *(path for path in own.paths if path not in self.paths)),
            variables={name: value for name, value in merged.items() if value is not None},
        )
        if self.folder is None or "working_dir" in runtime_env:
            return state, ""
        if os.path.isdir(self.folder) and os.access(self.folder, os.X_OK):  # noqa: PTH112 - is_dir() raises some errors
            return replace(state, folder=self.folder), ""
        return state, (
            f"the driver's working directory {self.folder} does not exist on {socket.gethostname()}: trials there run in "
            f"{own.folder}."
        )


@dataclass(frozen=True, slots=True)
class ActorInfo:
    """Facts about an actor, which it sends once it is ready.

    Args:
        pid: its process id.
        process: Ray's id of the process, unique in the cluster.
        node: the id of its node.
        memory: bytes of its own memory.
    """

    pid: int
    process: str
    node: str
    memory: int


class RayActor:
    """A worker that gets its batches from Ray.

    Calls and answers are bytes, which Ray transfers in half the time of objects.

    Args:
        name: the name of the worker.
        memory_limit: bytes of its own memory above which it ends itself; None: Ray's memory monitor decides.
    """

    def __init__(self, name: str, memory_limit: int | None) -> None:
        process_setup.ignore_terminal_signals()
        process_setup.use_one_thread()
        process_setup.keep_freed_memory()
        from rbt_ray.pool.worker import Worker  # after the settings above, which the modules it imports read

        self._worker = Worker(name)
        self._own = DriverState.here()
        self._job: Job | None = None
        self._is_watched = False
        self._memory_limit = memory_limit
        exit_notes.record_exit_code()
        process_setup.end_forks_with_this_process()

    def hello(self) -> ActorInfo:
        """Returns facts about the actor, once it is ready."""
        here = ray.get_runtime_context()
        return ActorInfo(os.getpid(), here.get_worker_id(), here.get_node_id(), exit_notes.own_memory())

    def load(
        self, key: str, payload: Sequence[Any], bundles: Mapping[str, Any], sent: SentState | None
    ) -> tuple[Loaded, str]:
        """Loads a job; returns how that ended, and a sentence for the user or "".

        Args:
            key: the key of the job.
            payload: the reference to the job's bytes, in a list so that Ray does not resolve it.
            bundles: references to the bundle and the files that the job reads, by version.
            sent: the driver's state for the trials; None: the actor keeps its own.
        """
        if bundles:  # before the check of its memory, which they add to
            from rbt_ray.pool.worker import import_price_modules

            import_price_modules()
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
        try:
            object_store.offer(bundles)
            if (reason := self._worker.load(job)) is not None:
                return "outdated", reason
        except ObjectLostError as error:
            return "bundle lost", str(error)
        except BaseException as error:  # the driver turns it into an error for the user
            return "error", str(error)
        self._job = job
        return "ready", note

    def run(self, message: bytes) -> bytes:
        """Returns the pickled `Returned` of a batch; no bytes if the batch belongs to a job that is not loaded."""
        key, parts = _loads(message)
        job = self._job
        if job is None or job.key != key:
            return b""
        return _dumps(self._worker.run(Batch.received(job, parts)), 5)

    def _state_from(self, sent: SentState) -> tuple[DriverState, str]:
        runtime_env = ray.get_runtime_context().runtime_env
        return sent.on(self._own, runtime_env, runtime_env.get("env_vars") or {})

    def wait_for_the_end(self) -> None:
        """Blocks until the process is killed."""
        threading.Event().wait()


def pack(batch: Batch) -> bytes:
    """Returns a batch as the message that `RayActor.run` takes."""
    return _dumps((batch.job.key, batch.message()), 5)
