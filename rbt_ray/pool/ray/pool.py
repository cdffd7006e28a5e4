"""RayPool: a pool of Ray actors on this machine or on a cluster."""

from __future__ import annotations

import math
import time
import warnings
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, ObjectLostError, RayError, RayTaskError

from rbt_ray.data.bundle import Bundle
from rbt_ray.data.file_tree import FileTree
from rbt_ray.errors import ObjectiveError, WorkerStartError
from rbt_ray.pool.backends import PoolSettings
from rbt_ray.pool.frames import AnswerError
from rbt_ray.pool.local.pool import workers_here
from rbt_ray.pool.memory import default_memory_limit
from rbt_ray.pool.pool import Batch, Returned, received
from rbt_ray.pool.ray import runtime
from rbt_ray.pool.ray.actor import Loaded
from rbt_ray.pool.ray.actor_handle import HELLO, LOAD, VOID, ActorHandle, Call
from rbt_ray.pool.ray.actor_manager import ActorManager
from rbt_ray.pool.ray.exit_notes import exit_reason
from rbt_ray.pool.ray.missing_modules import how_to_send
from rbt_ray.pool.ray.object_store import RayFilesRef, RayRef, SharedObjects
from rbt_ray.pool.ray.placement import ResourceRequest

_DEPTH = 2
_BRIEF_SECONDS = 0.5
"""Batches shorter than this wait in the queue of an actor, so that it does not idle; longer ones wait where any actor can take them."""
_STUCK_SECONDS = 1.0
_BATCH_SECONDS = 0.3
_TRIES = 3
"""After this many errors in a row, a batch is lost or the study fails; fewer may be the fault of a host."""
_IDLE_SECONDS = 30.0
"""An actor that is idle for this long while others work ends, so that others can use its node."""
_CALLS_PER_SECOND = 2_000  # round trips, for calls of any size


class RayPool:
    """Actors that live across batches and studies. An actor that dies is replaced.

    Args:
        n_workers: the number of actors; None: as many as fit on all nodes, including nodes that join later.
        address: the address of the cluster to join ("auto", "host:port", "ray://host:port"); None starts a Ray of our own on this
            machine, which `close` ends.
        num_cpus_per_worker: processors of an actor; 0.5 is half of one.
        resources_per_worker: other Ray resources of an actor.
        label_selector: the labels that the node of an actor needs.
        runtime_env: what Ray prepares on each host, as `ray.init` takes it.
        max_workers: the largest number of actors if `n_workers` is None; None: no limit.
        worker_wait_s: seconds to wait for a node while none can hold an actor.
        recycle_after: trials after which an actor is replaced; None: never.
        memory_limit: bytes of its own memory above which an actor is replaced; None: on a Ray of our own, 80 % of the
            machine's memory, shared evenly; on a cluster, Ray's memory monitor decides.

    Raises:
        SettingError: no cluster answers at `address`, or this machine can never run such a worker.
        WorkerStartError: Ray cannot be started on this machine.
    """

    def __init__(
        self,
        n_workers: int | None = None,
        *,
        address: str | None = None,
        num_cpus_per_worker: float = 1,
        resources_per_worker: Mapping[str, float] | None = None,
        label_selector: Mapping[str, str] | None = None,
        runtime_env: Mapping[str, Any] | None = None,
        max_workers: int | None = None,
        worker_wait_s: float = 900.0,
        recycle_after: int | None = None,
        memory_limit: int | None = None,
    ) -> None:
        here = n_workers or workers_here(num_cpus_per_worker, max_workers)
        self._ray = runtime.join(address, n_cpus=math.ceil(here * num_cpus_per_worker), runtime_env=runtime_env)
        own = self._ray.own
        # On a Ray of our own, a pool that is kept for the next study must not hold the processors of another pool.
        labels = {} if own else dict(label_selector or {})
        needs = ResourceRequest(0 if own else num_cpus_per_worker, dict(resources_per_worker or {}), labels)
        self._recycle_after = recycle_after
        self._closed = False
        self._shared = SharedObjects()
        self._holder: dict[int, ActorHandle] = {}
        self._backlog: deque[Batch] = deque()
        self._available: tuple[dict[ActorHandle, None], ...] = tuple({} for _ in range(_DEPTH))
        self._returned: list[Returned] = []
        self._is_short = False
        self._losses = 0
        self._warned_of = ""
        self._cut_off: Counter[int | None] = Counter()
        try:
            self._actors = ActorManager(
                needs,
                here if own else n_workers,
                own=own,
                memory_limit=memory_limit or (default_memory_limit(here) if own else None),
                most=max_workers,
                wait_s=worker_wait_s,
            )
            self._actors.fill()
        except BaseException:
            runtime.leave(self._ray)
            raise

    @property
    def is_alive(self) -> bool:
        """Whether its Ray still runs; other code may call `ray.shutdown()`."""
        return self._ray.is_up

    @property
    def capacity(self) -> int:
        """Two batches per actor: one that it evaluates and one that is queued."""
        return _DEPTH * self.n_workers

    @property
    def n_workers(self) -> int:
        """The number of actors, including those that are starting."""
        return len(self._actors)

    @property
    def batch_seconds(self) -> float:
        """Long compared with a call, and long enough for one driver to make the calls for all actors."""
        return max(_BATCH_SECONDS, 2 * self.n_workers / _CALLS_PER_SECOND)

    @property
    def n_checks(self) -> int:
        """One per actor: each host has a copy, and a batch cannot be sent to a given host."""
        return self.n_workers

    def share(self, bundle: Bundle) -> RayRef:
        """Copies the bundle into Ray's object store once; each node fetches it once, and its actors read that copy."""
        return self._shared.share(bundle, own=self._ray.own)

    def share_files(self, files: FileTree) -> RayFilesRef:
        """Packs the files into Ray's object store once; each node unpacks them once."""
        return self._shared.share_files(files)

    def submit(self, batch: Batch) -> None:
        """Sends the batch to an actor with capacity, or queues it until there is one."""
        self._actors.work()
        self._shared.add(batch.job, in_use=self._jobs_under_way())
        self._backlog.append(batch)
        self._dispatch()

    def wait(self, timeout: float | None = None) -> Sequence[Returned]:
        """Returns finished batches as soon as there is one; also starts and replaces actors.

        Raises:
            WorkerStartError: actors die before they are ready, or no node can hold one.
            ObjectiveError: the actors cannot load the objective.
        """
        end = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            for actor in self._actors.displaced():
                self._reap(actor, "others took its processors while it was idle")
            for actor in self._actors.leaving():
                self._vacate(actor)
            self._actors.fill(len(self._backlog))
            self._dispatch()
            left = end - time.monotonic()
            if self._returned or left <= 0:
                returned, self._returned = self._returned, []
                return returned
            if not self._receive(min(left, _STUCK_SECONDS, self._actors.next_look_s)):
                self._rebalance()

    def taken_at(self, number: int) -> float | None:
        """Returns when the actor began the batch; None while it waits for another batch, an actor's start or a job's load."""
        actor = self._holder.get(number)
        return None if actor is None or actor.head is None or actor.head.number != number else actor.since

    def cancel(self, number: int, reason: str) -> None:
        """Kills the actor that holds the batch; a batch queued behind it goes to another actor."""
        actor = self._holder.get(number)
        if actor is not None:
            if not actor.is_done(number):
                self._reap(actor, reason, guilty=number)
            return
        for batch in [batch for batch in self._backlog if batch.number == number]:
            self._backlog.remove(batch)
            self._returned.append(Returned(number, "none", lost=reason))

    def recall(self) -> list[int]:
        """Takes back the batches that no actor holds, and returns their numbers; Ray cannot withdraw the others."""
        numbers = [batch.number for batch in self._backlog]
        self._backlog.clear()
        return numbers

    def rest(self) -> bool:
        """Releases the processors of idle actors until the next batch; returns False if only `close` can do that."""
        return self._actors.rest()

    def close(self) -> None:
        """Ends all actors and frees what was shared; also ends a Ray of our own."""
        if self._closed:
            return
        self._closed = True
        if self._ray.is_up:
            self._actors.close()
        self._holder.clear()
        self._backlog.clear()
        for actors in self._available:
            actors.clear()
        self._shared.clear()
        runtime.leave(self._ray)

    def pids(self) -> list[int]:
        """Returns the process ids of the actors that are ready, each valid on its own host."""
        return [actor.info.pid for actor in self._actors if actor.info is not None]

    def _jobs_under_way(self) -> Iterator[str]:
        yield from (batch.job.key for batch in self._backlog)
        for actor in self._actors:
            yield from (batch.job.key for batch in actor.batches)

    def _dispatch(self) -> None:
        depth = _DEPTH if self._is_short else 1
        while self._backlog:
            actor = next((one for actors in self._available[:depth] for one in actors), None)
            if actor is None:
                return
            batch = self._backlog.popleft()
            actor.send(batch, self._shared)
            self._holder[batch.number] = actor
            self._file(actor)

    def _file(self, actor: ActorHandle) -> None:
        """Updates `_available`, the actors with capacity by their number of batches, for this actor."""
        for actors in self._available:
            actors.pop(actor, None)
        if actor.has_capacity(_DEPTH, self._recycle_after):
            self._available[actor.load][actor] = None

    def _remove(self, actor: ActorHandle) -> None:
        self._actors.dismiss(actor)
        self._file(actor)

    def _rebalance(self) -> None:
        """Moves a batch that is queued behind a long one to an idle actor; ends actors that stay idle while others work."""
        idles = not self._backlog and any(actor.has_capacity(1, self._recycle_after) for actor in self._actors)
        for actor in self._actors:
            if actor.wastes_time(_STUCK_SECONDS):
                self._reap(actor, "it was at work on what another actor had taken over")
            elif idles and (batch := actor.release_queued(_STUCK_SECONDS)) is not None:
                self._requeue(batch)
                idles = False
        if not self._backlog and any(actor.batches for actor in self._actors):
            for actor in self._actors.release_idle(_IDLE_SECONDS):
                self._file(actor)

    def _vacate(self, actor: ActorHandle) -> None:
        """Takes an actor's queued batch, and ends the actor once it has finished the current one.

        If its node goes before that, the batch is sent again, as after the loss of any node.
        """
        if (batch := actor.release_queued(0.0)) is not None:
            self._requeue(batch)
        if not actor.batches:
            self._reap(actor, "its host is about to leave the cluster")
        else:
            self._file(actor)

    def _receive(self, seconds: float) -> bool:
        """Waits up to `seconds` for answers and handles them; returns whether there were any. An actor answers calls in order."""
        waiting = {actor.calls[0].answer: actor for actor in self._actors if actor.calls}
        if not waiting:
            time.sleep(seconds)  # no node or no call: only a change of the cluster, or a batch, can end this
            return False
        answers = list(waiting)
        # Fetched at once: an answer that stays on its host is lost if the host is lost.
        if not ray.wait(answers, num_returns=1, timeout=seconds, fetch_local=True)[0]:
            return False
        for answer in ray.wait(answers, num_returns=len(answers), timeout=0, fetch_local=True)[0]:
            self._handle_answer(waiting[answer])
            self._file(waiting[answer])
        return True

    def _handle_answer(self, actor: ActorHandle) -> None:
        call = actor.calls[0]
        try:
            answer = actor.answer()
        except ObjectLostError:  # lost with its host, which is not the batch's fault
            if (batch := actor.pop()) is not None:
                self._requeue(batch)
            self._recycle(actor)
        except (AnswerError, RayTaskError) as error:
            self._failed(actor, f"it {error}" if isinstance(error, AnswerError) else f"the worker failed: {error}")
        except RayError as error:
            self._ended(actor, error)
        else:
            actor.pop()
            if call.kind == HELLO:
                self._actors.mark_ready(actor, answer)
            elif call.kind == LOAD:
                self._loaded(actor, call, *answer)
            elif call.kind == VOID:
                self._recycle(actor, unfit=answer is not None and getattr(answer, "unfit", True) is not False)
            elif answer is None and call.batch is not None:  # the load before it has failed
                self._requeue(call.batch)
                self._recycle(actor)
            elif call.batch is not None:
                self._finish(actor, received(answer, call.batch, actor.name))

    def _ended(self, actor: ActorHandle, error: RayError) -> None:
        """Handles the end of an actor: its host was lost, or its current call ended it."""
        if self._host_was_lost(actor, error):
            self._reap(actor, "its host was lost")
            return
        process = None if actor.info is None else actor.info.process
        self._failed(actor, exit_reason(error, process))

    def _failed(self, actor: ActorHandle, reason: str) -> None:
        """Replaces an actor that its current call ended or damaged."""
        self._reap(actor, reason, None if actor.head is None else actor.head.number)
        if actor.head is None:
            self._actors.count_failure(actor, reason)

    def _host_was_lost(self, actor: ActorHandle, error: RayError) -> bool:
        if actor.is_leaving or self._actors.is_on_a_lost_host(actor):
            return True  # the actors of a host that leaves may end before Ray knows that it is gone
        if not isinstance(error, ActorUnavailableError):
            return False
        # The first sign of a crashed host, which Ray detects later; but an objective can cause it too.
        number = actor.batches[0].number if actor.batches else None
        self._cut_off[number] += 1
        return self._cut_off[number] < _TRIES

    def _finish(self, actor: ActorHandle, returned: Returned) -> None:
        self._return(returned)
        self._is_short = returned.lost is None and returned.wall_s < _BRIEF_SECONDS
        self._recycle(actor, unfit=returned.unfit)

    def _return(self, returned: Returned) -> None:
        self._holder.pop(returned.number, None)
        self._cut_off.pop(returned.number, None)
        self._returned.append(returned)

    def _recycle(self, actor: ActorHandle, *, unfit: bool = False) -> None:
        if unfit:
            self._reap(actor, "a trial damaged its process")
        elif actor.needs_recycling(self._recycle_after) and not actor.calls:
            self._remove(actor)

    def _loaded(self, actor: ActorHandle, call: Call, state: Loaded, message: str) -> None:
        if state == "error":
            if not actor.has_run:
                raise ObjectiveError(message + how_to_send(message))
            self._reap(actor, message)  # earlier trials may have damaged its process: try a new one
            return
        if state == "outdated":
            self._reap(actor, message)  # a new actor can load it
            return
        if state == "ready":
            if message and call.job != self._warned_of:
                self._warned_of = call.job
                warnings.warn(message, stacklevel=2)
            self._actors.loaded(call.job)
            self._losses = 0
            return
        if actor.job == call.job:
            actor.job = None
        if call.edition == self._shared.edition:  # otherwise the objects have been replaced since
            self._losses += 1
            if self._losses >= _TRIES:
                what = "the objective" if state == "job lost" else "the prices"
                raise WorkerStartError(
                    f"Ray's object store lost {what} {_TRIES} times before a worker could read them ({message}): "
                    f"see `ray status` and `ray memory`."
                )
            self._shared.put_again()
        self._recycle(actor)

    def _requeue(self, batch: Batch) -> None:
        self._holder.pop(batch.number, None)
        self._backlog.appendleft(batch)

    def _reap(self, actor: ActorHandle, reason: str, guilty: int | None = None) -> None:
        """Removes an actor; its batch `guilty` is lost, and its other batches are queued again."""
        self._remove(actor)
        for batch in reversed(actor.batches):
            if batch.number == guilty:
                took = time.monotonic() - actor.since
                self._return(Returned(batch.number, actor.name, lost=reason, wall_s=took))
            else:
                self._requeue(batch)


def start(settings: PoolSettings) -> RayPool:
    """Starts the workers of ``backend="ray"``."""
    given = {field.name: getattr(settings, field.name) for field in fields(settings)}
    return RayPool(given.pop("num_workers"), memory_limit=given.pop("worker_memory_limit"), **given)
