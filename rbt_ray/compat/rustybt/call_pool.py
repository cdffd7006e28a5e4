"""A pool of worker processes that runs batches of calls and reports their results."""

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
from rbt_ray.compat.rustybt.calls import Call, CallBatch, CallResult, pack, unpack_results
from rbt_ray.errors import InputError, ObjectiveError, WorkerDiedError
from rbt_ray.pool.local.worker_thread import BatchQueue, WorkerThread
from rbt_ray.pool.pool import Job, Returned


class _ResultTarget(Protocol):
    def set_result(self, index: int, answer: CallResult) -> None: ...


class CallPool:
    """Worker processes, with the waiting and running calls.

    Args:
        processes: number of processes.
        context: multiprocessing context that starts them.
        main: the processes' main loop.
        most: number of calls after which a process is replaced; None: never.
    """

    def __init__(self, processes: int, context: BaseContext, main: Callable[..., None], most: int | None) -> None:
        self._processes, self._context, self._main, self._most = processes, context, main, most
        self._numbers = itertools.count()
        self._deaths = 0
        self._state = threading.Condition()
        self._closed = False
        self._error: Exception | None = None
        self._waiting: deque[tuple[CallBatch, _ResultTarget, int]] = deque()
        self._running: dict[int, tuple[CallBatch, _ResultTarget, int, WorkerThread]] = {}
        self._open = 0
        self._iterators: set[ResultIterator] = set()
        self._idle: list[WorkerThread] = []
        self._workers: list[WorkerThread] = []
        self._retiring: list[WorkerThread] = []
        weakref.finalize(self, end_all, self._workers, self._retiring)
        for _ in range(processes):
            self._start_worker()

    def _submit(self, job: Job, calls: Sequence[Call], target: _ResultTarget, start: int) -> None:
        """Submits calls; a call that cannot be sent fails alone."""
        try:
            chunk = CallBatch(next(self._numbers), job, calls, pack(list(calls), "an argument"))
        except ObjectiveError as error:
            if len(calls) == 1:
                self._fail_call(error, target, start)
            else:
                for row, call in enumerate(calls):
                    self._submit(job, [call], target, start + row)
            return
        with self._state:
            self._check_open(target)
            self._waiting.append((chunk, target, start))
            self._open += 1
            self._dispatch()

    def _fail_call(self, error: ObjectiveError, target: _ResultTarget, index: int) -> None:
        """Fails a call in a thread, as the caller may hold a lock that the callback needs."""
        with self._state:
            self._check_open(target)
            self._open += 1

        def set_result() -> None:
            try:
                target.set_result(index, (False, error))
            finally:
                self._ended(1)

        threading.Thread(target=set_result, name="rbt-ray-pool-refusal", daemon=True).start()

    def _check_open(self, target: _ResultTarget | None = None) -> None:
        """Raises if the pool takes no calls; an `imap` that began before `close` may continue."""
        if self._error is not None:
            raise self._error
        if self._closed and target not in self._iterators:
            raise InputError("the pool is closed; make another one.")

    def _start_worker(self) -> None:
        worker = WorkerThread(
            f"pool-{next(self._numbers)}",
            self._context,
            BatchQueue(),
            _Sink(weakref.ref(self)),
            recycle_after=self._most,
            memory_limit=sys.maxsize,
            main=self._main,
        )
        if self._context.get_start_method() == "fork":
            worker.start_process()
        worker.start()
        self._workers.append(worker)
        self._idle.append(worker)

    def _dispatch(self) -> None:
        while self._waiting and self._idle:
            chunk, target, start = self._waiting.popleft()
            worker = self._idle.pop()
            self._running[chunk.number] = chunk, target, start, worker
            worker.queue.put(chunk)

    def _on_returned(self, returned: Returned) -> None:
        """Handles a returned batch, in the worker's thread."""
        with self._state:
            if returned.number not in self._running:  # terminated
                return
            chunk, target, start, worker = self._running.pop(returned.number)
            results = self._results_for(chunk, target, start, returned)
            if worker in self._workers:
                self._idle.append(worker)
            else:
                worker.close()
            self._dispatch()
        try:
            for index, answer in results:
                target.set_result(index, answer)
        finally:
            self._ended(1)

    def _results_for(
        self, chunk: CallBatch, target: _ResultTarget, start: int, returned: Returned
    ) -> list[tuple[int, CallResult]]:
        """Returns the known results of a batch; if it was lost, queues its calls again one by one."""
        if returned.lost is None:
            try:
                assert isinstance(returned.answer, bytes)
                answers = unpack_results(returned.answer)
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
            alone = CallBatch(
                next(self._numbers), chunk.job, [chunk.calls[row]], pack([chunk.calls[row]], "an argument")
            )
            self._waiting.appendleft((alone, target, start + row))
            self._open += 1
        return []

    def _break(self, error: Exception) -> None:
        """Fails all calls and stops the workers."""
        with self._state:
            open_calls = [*self._waiting, *(entry[:3] for entry in self._running.values())]
            self._waiting.clear()
            self._running.clear()
            self._iterators.clear()
            if not self._closed:
                self._error = error
        end_all(self._workers, self._retiring)
        try:
            for chunk, target, start in open_calls:
                for row in range(len(chunk)):
                    target.set_result(start + row, (False, error))
        finally:
            self._ended(len(open_calls))

    def _ended(self, n: int) -> None:
        """Records that `n` batches have finished."""
        with self._state:
            self._open -= n
            self._state.notify_all()
            self._end_if_done()

    def _end_if_done(self) -> None:
        if self._closed and not self._open and not self._iterators:
            end_all(self._workers, self._retiring)

    def _forget(self, iterator: ResultIterator) -> None:
        """Records that an iterator starts no more calls."""
        with self._state:
            self._iterators.discard(iterator)
            self._end_if_done()


class _Sink:
    """Passes a worker's results to its pool, if the pool still exists."""

    def __init__(self, pool: weakref.ref[CallPool]) -> None:
        self._pool = pool

    def put(self, item: Returned | Exception, /) -> None:
        if (pool := self._pool()) is None:
            return
        if isinstance(item, Exception):
            pool._break(item)
        else:
            pool._on_returned(item)


def end_all(*workers: Sequence[WorkerThread]) -> None:
    """Stops the workers' processes at once."""
    for worker in itertools.chain(*workers):
        worker.close()
