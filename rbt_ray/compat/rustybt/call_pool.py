"""What a pool's calls go through: who makes them, which are open, and what becomes of them."""

from __future__ import annotations

import itertools
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.context import BaseContext
from typing import Protocol

from rbt_ray.compat.rustybt.async_result import ResultIterator
from rbt_ray.compat.rustybt.calls import Answer, Call, Calls, answers_in, packed
from rbt_ray.errors import InputError, ObjectiveError, WorkerDiedError
from rbt_ray.pool.local.batch_queue import Line
from rbt_ray.pool.local.worker_thread import Courier
from rbt_ray.pool.pool import Job, Returned


class _Target(Protocol):
    def settle(self, index: int, answer: Answer) -> None: ...


class Crew:
    """Worker processes with the calls that wait for them or are under way.

    Args:
        processes: how many.
        context: how they are started.
        main: their main loop.
        most: calls after which one is replaced; None: never.
    """

    def __init__(self, processes: int, context: BaseContext, main: Callable[..., None], most: int | None) -> None:
        self._processes, self._context, self._main, self._most = processes, context, main, most
        self._numbers = itertools.count()
        self._deaths = 0
        self._state = threading.Condition()
        self._closed = False
        self._error: Exception | None = None
        self._waiting: deque[tuple[Calls, _Target, int]] = deque()
        self._under_way: dict[int, tuple[Calls, _Target, int, Courier]] = {}
        self._open = 0
        self._iterators: set[ResultIterator] = set()
        self._idle: list[Courier] = []
        self._couriers: list[Courier] = []
        self._leaving: list[Courier] = []
        weakref.finalize(self, end_all, self._couriers, self._leaving)
        for _ in range(processes):
            self._hire()

    def _submit(self, job: Job, calls: Sequence[Call], target: _Target, start: int) -> None:
        """Begins calls; one that cannot be sent fails alone."""
        try:
            chunk = Calls(next(self._numbers), job, calls, packed(list(calls), "an argument"))
        except ObjectiveError as error:
            if len(calls) == 1:
                self._refuse(error, target, start)
            else:
                for row, call in enumerate(calls):
                    self._submit(job, [call], target, start + row)
            return
        with self._state:
            self._check_open(target)
            self._waiting.append((chunk, target, start))
            self._open += 1
            self._hand_out()

    def _refuse(self, error: ObjectiveError, target: _Target, index: int) -> None:
        """In a thread, as of every call: whoever makes this one may hold what the callback waits for."""
        with self._state:
            self._check_open(target)
            self._open += 1

        def settle() -> None:
            try:
                target.settle(index, (False, error))
            finally:
                self._ended(1)

        threading.Thread(target=settle, name="rbt-ray-pool-refusal", daemon=True).start()

    def _check_open(self, target: _Target | None = None) -> None:
        """`imap` of before `close` goes on after it."""
        if self._error is not None:
            raise self._error
        if self._closed and target not in self._iterators:
            raise InputError("the pool is closed; make another one.")

    def _hire(self) -> None:
        courier = Courier(
            f"pool-{next(self._numbers)}",
            self._context,
            Line(),
            _Sink(weakref.ref(self)),
            recycle_after=self._most,
            memory_limit=sys.maxsize,
            main=self._main,
        )
        if self._context.get_start_method() == "fork":
            courier.start_process()
        courier.start()
        self._couriers.append(courier)
        self._idle.append(courier)

    def _hand_out(self) -> None:
        while self._waiting and self._idle:
            chunk, target, start = self._waiting.popleft()
            courier = self._idle.pop()
            self._under_way[chunk.number] = chunk, target, start, courier
            courier.line.put(chunk)

    def _came_back(self, returned: Returned) -> None:
        """In the courier's thread."""
        with self._state:
            if returned.number not in self._under_way:  # terminated
                return
            chunk, target, start, courier = self._under_way.pop(returned.number)
            settled = self._settled(chunk, target, start, returned)
            if courier in self._couriers:
                self._idle.append(courier)
            else:
                courier.close()
            self._hand_out()
        try:
            for index, answer in settled:
                target.settle(index, answer)
        finally:
            self._ended(1)

    def _settled(self, chunk: Calls, target: _Target, start: int, returned: Returned) -> list[tuple[int, Answer]]:
        """What is known now; of a chunk that was lost, the calls are made again one by one."""
        if returned.lost is None:
            try:
                assert isinstance(returned.answer, bytes)
                answers = answers_in(returned.answer)
            except Exception as error:  # unpickling runs the user's own code
                answers = [(False, error)]
            return [(start + row, answers[row if len(answers) > 1 else 0]) for row in range(len(chunk))]
        self._deaths += 1
        if len(chunk) == 1:
            args, kwds = chunk.calls[0]
            shown = ", ".join([*map(repr, args), *(f"{name}={value!r}" for name, value in kwds.items())])
            return [
                (start, (False, WorkerDiedError(f"the process that made the call ({shown[:200]}) {returned.lost}.")))
            ]
        for row in reversed(range(len(chunk))):
            alone = Calls(next(self._numbers), chunk.job, [chunk.calls[row]], packed([chunk.calls[row]], "an argument"))
            self._waiting.appendleft((alone, target, start + row))
            self._open += 1
        return []

    def _break(self, error: Exception) -> None:
        """No call can be made any more."""
        with self._state:
            open_calls = [*self._waiting, *(entry[:3] for entry in self._under_way.values())]
            self._waiting.clear()
            self._under_way.clear()
            self._iterators.clear()
            if not self._closed:
                self._error = error
        end_all(self._couriers, self._leaving)
        try:
            for chunk, target, start in open_calls:
                for row in range(len(chunk)):
                    target.settle(start + row, (False, error))
        finally:
            self._ended(len(open_calls))

    def _ended(self, n: int) -> None:
        """So many chunks fewer are open."""
        with self._state:
            self._open -= n
            self._state.notify_all()
            self._end_if_done()

    def _end_if_done(self) -> None:
        if self._closed and not self._open and not self._iterators:
            end_all(self._couriers, self._leaving)

    def _forget(self, iterator: ResultIterator) -> None:
        """It begins no more calls."""
        with self._state:
            self._iterators.discard(iterator)
            self._end_if_done()


class _Sink:
    """Where a courier puts what comes back: in its pool, as long as there is one."""

    def __init__(self, pool: weakref.ref[Crew]) -> None:
        self._pool = pool

    def put(self, item: Returned | Exception, /) -> None:
        if (pool := self._pool()) is None:
            return
        if isinstance(item, Exception):
            pool._break(item)
        else:
            pool._came_back(item)


def end_all(*couriers: Sequence[Courier]) -> None:
    """Ends their processes at once."""
    for courier in itertools.chain(*couriers):
        courier.close()
