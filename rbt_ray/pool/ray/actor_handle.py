"""ActorHandle: the driver's side of one actor, with the calls that are under way to it, in their order."""

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
from rbt_ray.pool.ray.actor import ActorInfo, Loaded, RayActor, pack
from rbt_ray.pool.ray.driver_state import SentState
from rbt_ray.pool.ray.object_store import SharedObjects
from rbt_ray.pool.ray.placement import Reservation

CallKind = Literal["hello", "load", "batch", "void"]
HELLO: CallKind = "hello"
LOAD: CallKind = "load"
BATCH: CallKind = "batch"
VOID: CallKind = "void"
"""A batch that another actor took over; what this one says of it does not count."""

_ACTOR = ray.remote(RayActor)


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A call under way.

    Args:
        kind: what was called.
        answer: Ray's reference to the answer.
        batch: the one it carries.
        job: the key of the one it loads.
        edition: of the shared objects it names.
    """

    kind: CallKind
    answer: Any
    batch: Batch | None = None
    job: str = ""
    edition: int = 0


class ActorHandle:
    """An actor, started by making this; `info` is None until it has said hello, `has_run` whether it ran a batch.

    Args:
        name: the worker's.
        node: the node it was sent to; None where Ray chose.
        options: Ray's, for the actor.
        memory_limit: bytes of memory of its own above which it ends.
        reservation: of its processors, where the actor itself holds none.
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
        self.since = time.monotonic()
        self.calls: deque[Call] = deque()
        self._trials = 0
        self._actor = _ACTOR.options(**options).remote(name, memory_limit)
        self._call(HELLO, self._actor.hello.remote())

    @property
    def home(self) -> str | None:
        """The node it runs on, as far as that is known."""
        return self.node if self.info is None else self.info.node

    @property
    def batches(self) -> list[Batch]:
        """Those it holds, in order."""
        return [call.batch for call in self.calls if call.batch is not None]

    @property
    def head(self) -> Batch | None:
        """The batch it is at work on."""
        return self.calls[0].batch if self.calls else None

    @property
    def load(self) -> int:
        """How many batches it has to see to, those it gave up included."""
        return sum(call.kind in (BATCH, VOID) for call in self.calls)

    def needs_recycling(self, recycle_after: int | None) -> bool:
        """Whether it was sent as many trials as one actor may get."""
        return recycle_after is not None and self._trials >= recycle_after

    def has_capacity(self, depth: int, recycle_after: int | None) -> bool:
        """Whether it is ready, has fewer than `depth` batches, and none of a single trial.

        A process that is killed can take with it the answer to the batch before. A batch of several trials is then sent
        again in halves; a single trial would be recorded as crashed by the batch after it.
        """
        if self.info is None or self.has_ended or self.load >= depth or self.needs_recycling(recycle_after):
            return False
        return all(len(batch) > 1 for batch in self.batches)

    def is_done(self, number: int) -> bool:
        """Whether the batch is finished, though nobody has looked yet."""
        call = self.calls[0]
        finished = call.batch is not None and call.batch.number == number
        return finished and bool(ray.wait([call.answer], timeout=0)[0])

    def send(self, batch: Batch, shared: SharedObjects) -> None:
        """Sends a batch, and its job before it where that is not loaded.

        Args:
            batch: the batch.
            shared: where the objects that its job needs are.
        """
        if not self.calls:  # it may have died idle, for which the batch is not to count_failure
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
        """The answer to the first call, which has arrived: a `ActorInfo`, what `RayActor.load` returns, or what a batch gave.

        The last is for `received` to check. A batch is answered by None where its job was not loaded.

        Raises:
            RayError: Ray's; there will be none.
            AnswerError: it is none of these, or cannot be read: the objective broke the actor's process.
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
        """Takes the first call off; its batch."""
        self.since = time.monotonic()
        call = self.calls.popleft()
        self.has_run |= call.kind in (BATCH, VOID)
        return call.batch

    def release_queued(self, seconds: float) -> Batch | None:
        """The batch that waits behind one at work for longer than so many seconds; another actor may have it."""
        call = self.calls[-1] if len(self.calls) > 1 else None
        if call is None or call.batch is None or self.head is None or time.monotonic() - self.since < seconds:
            return None
        self.calls[-1] = Call(VOID, call.answer)  # Ray cannot withdraw it while the actor is at work
        return call.batch

    def wastes_time(self, seconds: float) -> bool:
        """Whether it is at work for longer than so many seconds on what it gave up."""
        return bool(self.calls) and self.calls[0].kind == VOID and time.monotonic() - self.since > seconds

    def kill(self) -> None:
        """Ends the process, whatever it does."""
        self.has_ended = True
        actor = self._actor
        ray.kill(actor, no_restart=True)
        # An actor that nothing refers to is asked to end, which may overtake the kill, and then waits for an objective's
        # threads: this call, which can only fail, keeps the reference until it is dead.
        actor.wait_for_the_end.remote().future().add_done_callback(lambda _: actor)

    def _call(self, kind: CallKind, answer: Any, batch: Batch | None = None, job: str = "", edition: int = 0) -> None:
        if not self.calls:
            self.since = time.monotonic()
        self.calls.append(Call(kind, answer, batch, job, edition))
