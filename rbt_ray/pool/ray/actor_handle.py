"""ActorHandle: the driver's side of one actor, with its pending calls in order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import ray
from ray.exceptions import RayError

from rbt_ray.pool.frames import AnswerError, unpickled
from rbt_ray.pool.pool import Batch
from rbt_ray.pool.ray.actor import ActorInfo, Loaded, RayActor, SentState, pack
from rbt_ray.pool.ray.object_store import SharedObjects
from rbt_ray.pool.ray.placement import Reservation

CallKind = Literal["hello", "load", "batch", "void"]
HELLO: CallKind = "hello"
LOAD: CallKind = "load"
BATCH: CallKind = "batch"
VOID: CallKind = "void"
"""A batch that another actor has taken over; the answer to this call is ignored."""

_ACTOR = ray.remote(RayActor)


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A pending call of an actor.

    Args:
        kind: which method.
        answer: Ray's reference to the answer.
        batch: the batch that it sends, if any.
        job: the key of the job that it loads, if any.
        edition: the edition of the shared objects that it refers to.
    """

    kind: CallKind
    answer: Any
    batch: Batch | None = None
    job: str = ""
    edition: int = 0


class ActorHandle:
    """Starts an actor.

    `info` is None until the actor is ready; `has_run` is whether it has run a batch; `is_leaving` is whether its node is about
    to leave the cluster, so that it gets no more batches.

    Args:
        name: the name of the worker.
        node: the node to run on; None if Ray chooses.
        options: Ray's options of the actor.
        memory_limit: bytes of its own memory above which the actor ends.
        reservation: of its processors, if the actor itself holds none.
    """

    def __init__(
        self,
        name: str,
        node: str | None,
        options: Mapping[str, Any],
        memory_limit: int | None,
        *,
        reservation: Reservation | None = None,
    ) -> None:
        self.name = name
        self.node = node
        self.reservation = reservation
        self.info: ActorInfo | None = None
        self.job: str | None = None
        self.has_ended = False
        self.has_run = False
        self.is_leaving = False
        self.since = time.monotonic()
        self.calls: deque[Call] = deque()
        self._trials = 0
        self._actor = _ACTOR.options(**options).remote(name, memory_limit)
        self._call(HELLO, self._actor.hello.remote())

    @property
    def home(self) -> str | None:
        """The node that it runs on; None if not known yet."""
        return self.node if self.info is None else self.info.node

    @property
    def batches(self) -> list[Batch]:
        """The batches that it holds, in order."""
        return [call.batch for call in self.calls if call.batch is not None]

    @property
    def head(self) -> Batch | None:
        """The batch that it evaluates; None if it evaluates none."""
        return self.calls[0].batch if self.calls else None

    @property
    def load(self) -> int:
        """The number of batches that it holds, including those that another actor has taken over."""
        return sum(call.kind in (BATCH, VOID) for call in self.calls)

    def needs_recycling(self, recycle_after: int | None) -> bool:
        """Returns whether it has received as many trials as one actor may."""
        return recycle_after is not None and self._trials >= recycle_after

    def has_capacity(self, depth: int, recycle_after: int | None) -> bool:
        """Returns whether it is ready, holds fewer than `depth` batches, and no batch of a single trial.

        When a process is killed, the answer to its previous batch can be lost too. A batch of several trials is then sent
        again in halves, but a single trial would be recorded as crashed because of the next batch.
        """
        if (
            self.info is None
            or self.has_ended
            or self.is_leaving
            or self.load >= depth
            or self.needs_recycling(recycle_after)
        ):
            return False
        return all(len(batch) > 1 for batch in self.batches)

    def is_idle(self, seconds: float) -> bool:
        """Returns whether it is ready and has had nothing to do for `seconds`."""
        return self.info is not None and not self.calls and time.monotonic() - self.since > seconds

    def is_done(self, number: int) -> bool:
        """Returns whether the batch has finished, even if its answer has not been fetched."""
        call = self.calls[0]
        finished = call.batch is not None and call.batch.number == number
        return finished and bool(ray.wait([call.answer], timeout=0)[0])

    def send(self, batch: Batch, shared: SharedObjects) -> None:
        """Sends a batch, preceded by its job if the actor has not loaded that.

        Args:
            batch: the batch.
            shared: the objects that its job needs.
        """
        if not self.calls:  # shows whether it died while it was idle, which must not count against the batch
            self._call(HELLO, self._actor.hello.remote())
        if self.job != batch.job.key:
            key = batch.job.key
            state = None if batch.job.state is None else SentState.of(batch.job.state)
            answer = self._actor.load.remote(key, [shared.payload(key)], shared.bundles_of(key), state)
            self._call(LOAD, answer, job=key, edition=shared.edition)
            self.job = key
        self._trials += len(batch.trials)
        self._call(BATCH, self._actor.run.remote(pack(batch)), batch)

    def answer(self) -> Any:
        """Returns the answer to the first call, which has arrived: `ActorInfo`, the result of `RayActor.load`, or of a batch.

        The caller must pass a batch's answer to `received`. It is None if the batch's job was not loaded.

        Raises:
            RayError: the call failed in Ray, so there is no answer.
            AnswerError: the answer is invalid or cannot be unpickled: the objective damaged the actor's process.
        """
        call = self.calls[0]
        try:
            answer = ray.get(call.answer)
        except (RayError, KeyboardInterrupt):
            raise
        except BaseException as error:  # unpickling can run code that raises anything, SystemExit too
            raise AnswerError(f"sent an answer that cannot be read ({type(error).__name__})") from error
        if call.kind == HELLO and type(answer) is ActorInfo:
            return answer
        if call.kind == LOAD and type(answer) is tuple and len(answer) == 2 and answer[0] in get_args(Loaded):
            return answer
        if call.kind in (BATCH, VOID) and type(answer) is bytes:
            return unpickled(answer) if answer else None
        raise AnswerError(f"sent {type(answer).__name__} that is no answer to its call")

    def pop(self) -> Any:
        """Removes the first call and returns its batch."""
        self.since = time.monotonic()
        call = self.calls.popleft()
        self.has_run |= call.kind in (BATCH, VOID)
        return call.batch

    def release_queued(self, seconds: float) -> Batch | None:
        """Releases and returns the batch queued behind one that has run for more than `seconds`, for another actor."""
        call = self.calls[-1] if len(self.calls) > 1 else None
        if call is None or call.batch is None or self.head is None or time.monotonic() - self.since < seconds:
            return None
        self.calls[-1] = Call(VOID, call.answer)  # Ray cannot withdraw it while the actor is at work
        return call.batch

    def wastes_time(self, seconds: float) -> bool:
        """Returns whether it has spent more than `seconds` on a batch that another actor has taken over."""
        return bool(self.calls) and self.calls[0].kind == VOID and time.monotonic() - self.since > seconds

    def kill(self) -> None:
        """Kills the process."""
        self.has_ended = True
        actor = self._actor
        ray.kill(actor, no_restart=True)
        # Ray asks an actor without references to exit, which may precede the kill and then waits for threads of the
        # objective. This call fails when the actor is dead, and holds a reference until then.
        actor.wait_for_the_end.remote().future().add_done_callback(lambda _: actor)

    def _call(self, kind: CallKind, answer: Any, batch: Batch | None = None, job: str = "", edition: int = 0) -> None:
        if not self.calls:
            self.since = time.monotonic()
        self.calls.append(Call(kind, answer, batch, job, edition))
