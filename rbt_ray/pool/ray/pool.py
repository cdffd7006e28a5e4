"""A pool of Ray actors: on this machine, or one for every processor of a cluster."""

from __future__ import annotations

import math
import time
import warnings
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence

import ray
from ray.exceptions import ActorUnavailableError, ObjectLostError, RayError, RayTaskError

from rbt_ray.data.bundle import Bundle
from rbt_ray.data.file_tree import FileTree
from rbt_ray.errors import ObjectiveError, WorkerStartError
from rbt_ray.pool.backends import PoolSettings
from rbt_ray.pool.frames import AnswerError
from rbt_ray.pool.local.pool import usable_cpus
from rbt_ray.pool.memory import default_memory_limit
from rbt_ray.pool.pool import Batch, Returned, received
from rbt_ray.pool.ray import runtime
from rbt_ray.pool.ray.actor import Loaded
from rbt_ray.pool.ray.actor_handle import HELLO, LOAD, VOID, ActorHandle, Call
from rbt_ray.pool.ray.actor_manager import ActorManager
from rbt_ray.pool.ray.exit_notes import exit_reason
from rbt_ray.pool.ray.object_store import RayFilesRef, RayRef, SharedObjects
from rbt_ray.pool.ray.placement import ResourceRequest

_DEPTH = 2
_BRIEF_SECONDS = 0.5
"""Batches shorter than this wait in line on the actor, so that it never idles; longer ones wait where any can take them."""
_STUCK_SECONDS = 1.0
_BATCH_SECONDS = 0.3
_TRIES = 3
"""How often in a row what may be a host's fault is taken to be one."""
_CALLS_PER_SECOND = 2_000  # there and back, whatever a call holds


class RayPool:
    """Actors that outlive batches and studies; one that dies is replaced.

    Args:
        n_workers: how many actors; None: one for every slot of every node, those of nodes that join later too.
        address: of the cluster to join ("auto", "host:port", "ray://host:port"); None starts a Ray of our own on this
            machine, which `close` ends.
        num_cpus_per_worker: processors an actor takes.
        resources_per_worker: Ray resources it takes beside.
        recycle_after: replace an actor after this many trials; None never does.
        memory_limit: bytes of memory of its own above which an actor is replaced; None: 80 % of the machine's memory,
            shared evenly, on a Ray of our own; on a cluster, what Ray's memory monitor lets it have.

    Raises:
        SettingError: no cluster answers at `address`, or this machine can never run such a worker.
        WorkerStartError: Ray cannot be started on this machine.
    """

    def __init__(
        self,
        n_workers: int | None = None,
        *,
        address: str | None = None,
        num_cpus_per_worker: int = 1,
        resources_per_worker: Mapping[str, float] | None = None,
        recycle_after: int | None = None,
        memory_limit: int | None = None,
    ) -> None:
        here = n_workers or max(1, usable_cpus() // num_cpus_per_worker)
        self._ray = runtime.join(address, n_cpus=here * num_cpus_per_worker)
        own = self._ray.own
        # On a Ray of our own a pool that is kept warm for a next study must not take the processors from another.
        needs = ResourceRequest(0 if own else num_cpus_per_worker, dict(resources_per_worker or {}))
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
            )
            self._actors.fill()
        except BaseException:
            runtime.leave(self._ray)
            raise

    @property
    def is_alive(self) -> bool:
        """Whether its Ray still runs: anybody may call `ray.shutdown()`."""
        return self._ray.is_up

    @property
    def capacity(self) -> int:
        """One batch under way and one in line for every actor."""
        return _DEPTH * self.n_workers

    @property
    def n_workers(self) -> int:
        """The number of actors, those that start included."""
        return len(self._actors)

    @property
    def batch_seconds(self) -> float:
        """Long beside a call's cost, and so long that one driver can make the calls for all actors."""
        return max(_BATCH_SECONDS, 2 * self.n_workers / _CALLS_PER_SECOND)

    @property
    def n_checks(self) -> int:
        """One for each actor: each host has a copy, and nothing directs a batch to a host."""
        return self.n_workers

    def share(self, bundle: Bundle) -> RayRef:
        """Copies the bundle into Ray's object store, once; each node fetches it once, and its actors read that copy."""
        return self._shared.share(bundle)

    def share_files(self, files: FileTree) -> RayFilesRef:
        """Packs the files into Ray's object store, once; each node unpacks them once."""
        return self._shared.share_files(files)

    def submit(self, batch: Batch) -> None:
        """Sends the batch to an actor that has room, or keeps it until one has."""
        self._actors.work()
        self._shared.add(batch.job, in_use=self._jobs_under_way())
        self._backlog.append(batch)
        self._dispatch()

    def wait(self, timeout: float | None = None) -> Sequence[Returned]:
        """What came back, as soon as anything did; also sees to it that there are actors.

        Raises:
            WorkerStartError: actors die before they take a batch, or no node can hold one.
            ObjectiveError: the actors cannot load the objective.
        """
        end = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            for actor in self._actors.displaced():
                self._reap(actor, "others took its processors while it was idle")
            self._actors.fill()
            self._dispatch()
            left = end - time.monotonic()
            if self._returned or left <= 0:
                returned, self._returned = self._returned, []
                return returned
            if not self._receive(min(left, _STUCK_SECONDS, self._actors.next_look_s)):
                self._rebalance()

    def taken_at(self, number: int) -> float | None:
        """When its turn on the actor came; None while it waits for another batch, an actor's start or a job's load."""
        actor = self._holder.get(number)
        return None if actor is None or actor.head is None or actor.head.number != number else actor.since

    def cancel(self, number: int, reason: str) -> None:
        """Kills the actor that holds the batch; a batch that waits behind it there goes to another."""
        actor = self._holder.get(number)
        if actor is not None:
            if not actor.is_done(number):
                self._reap(actor, reason, guilty=number)
            return
        for batch in [batch for batch in self._backlog if batch.number == number]:
            self._backlog.remove(batch)
            self._returned.append(Returned(number, "none", lost=reason))

    def recall(self) -> list[int]:
        """Takes back the batches that no actor holds yet; Ray cannot withdraw the others."""
        numbers = [batch.number for batch in self._backlog]
        self._backlog.clear()
        return numbers

    def rest(self) -> bool:
        """Gives the processors of idle actors back to the cluster until the next batch; False where only `close` can."""
        return self._actors.rest()

    def close(self) -> None:
        """Ends all actors and frees what was shared; a Ray of our own ends, a cluster that was joined goes on."""
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
        """The process ids of the actors that are ready, each on its own host."""
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
        """Keeps `_available`, the actors that take more by how many batches they have, true for this one."""
        for actors in self._available:
            actors.pop(actor, None)
        if actor.has_capacity(_DEPTH, self._recycle_after):
            self._available[actor.load][actor] = None

    def _remove(self, actor: ActorHandle) -> None:
        self._actors.dismiss(actor)
        self._file(actor)

    def _rebalance(self) -> None:
        """Takes a batch that waits behind a long one for an actor that idles."""
        idles = not self._backlog and any(actor.has_capacity(1, self._recycle_after) for actor in self._actors)
        for actor in self._actors:
            if actor.wastes_time(_STUCK_SECONDS):
                self._reap(actor, "it was at work on what another actor had taken over")
            elif idles and (batch := actor.release_queued(_STUCK_SECONDS)) is not None:
                self._requeue(batch)
                idles = False

    def _receive(self, seconds: float) -> bool:
        """Takes in what comes within so many seconds, if anything. An actor answers in turn: its first call comes first."""
        waiting = {actor.calls[0].answer: actor for actor in self._actors if actor.calls}
        if not waiting:
            time.sleep(seconds)  # no node, or nothing to do: only a look at the cluster can change that
            return False
        answers = list(waiting)
        # Fetched at once: an answer that stays on the host it was made on is lost with it.
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
        except ObjectLostError:  # with the host it was made on; the batch did nothing wrong
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
        """An actor is gone: with its host, which is nobody's fault, or by what it was at work on."""
        if self._host_was_lost(actor, error):
            self._reap(actor, "its host was lost")
            return
        process = None if actor.info is None else actor.info.process
        self._failed(actor, exit_reason(error, process))

    def _failed(self, actor: ActorHandle, reason: str) -> None:
        """An actor ended, or cannot be used further, by what it was at work on: another takes its place."""
        self._reap(actor, reason, None if actor.head is None else actor.head.number)
        if actor.head is None:
            self._actors.count_failure(actor, reason)

    def _host_was_lost(self, actor: ActorHandle, error: RayError) -> bool:
        if self._actors.is_on_a_lost_host(actor):
            return True
        if not isinstance(error, ActorUnavailableError):
            return False
        # What comes first of a host that crashes; only seconds later does Ray know. But an objective can cause it too.
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
                raise ObjectiveError(message)
            self._reap(actor, message)  # earlier trials may have damaged its process: only a fresh one can tell
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
        if call.edition == self._shared.edition:  # else another actor has found the same, and it was put again
            self._losses += 1
            if self._losses >= _TRIES:
                what = "the objective" if state == "job lost" else "the prices"
                raise WorkerStartError(
                    f"{what} got lost from Ray's object store {_TRIES} times before a worker could read them ({message}): "
                    f"see `ray status` and `ray memory`."
                )
            self._shared.put_again()
        self._recycle(actor)

    def _requeue(self, batch: Batch) -> None:
        self._holder.pop(batch.number, None)
        self._backlog.appendleft(batch)

    def _reap(self, actor: ActorHandle, reason: str, guilty: int | None = None) -> None:
        """Ends what is left of an actor; of its batches only the guilty is lost, the others go to the next."""
        self._remove(actor)
        for batch in reversed(actor.batches):
            if batch.number == guilty:
                took = time.monotonic() - actor.since
                self._return(Returned(batch.number, actor.name, lost=reason, wall_s=took))
            else:
                self._requeue(batch)


def start(settings: PoolSettings) -> RayPool:
    """Starts the workers of ``backend="ray"``."""
    return RayPool(
        settings.num_workers,
        address=settings.address,
        num_cpus_per_worker=settings.num_cpus_per_worker,
        resources_per_worker=settings.resources_per_worker,
        recycle_after=settings.recycle_after,
        memory_limit=settings.worker_memory_limit,
    )
