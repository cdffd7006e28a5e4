"""WorkerThread: a thread of the driver that keeps one worker process running and sends it batches."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.context import BaseContext
from typing import TYPE_CHECKING, Protocol

from rbt_ray.errors import ObjectiveError, SettingError, WorkerStartError
from rbt_ray.pool.frames import AnswerError
from rbt_ray.pool.local.main_loop import Outdated, serve
from rbt_ray.pool.local.worker_process import WorkerProcess
from rbt_ray.pool.memory import memory_exceeded, memory_limit_too_low
from rbt_ray.pool.pool import Job, Returned, WorkItem, received

if TYPE_CHECKING:
    from rbt_ray.pool.pool import WorkItem

_START_SECONDS = 60.0
_TRIES = 3
_PAUSE_SECONDS = 0.1


class BatchQueue:
    """A first-in, first-out queue of batches. A consumer must ask `cancel_reason` before it starts a batch."""

    def __init__(self) -> None:
        self._queue: queue.Queue[WorkItem | None] = queue.Queue()
        self._cancelled: dict[int, str] = {}

    def put(self, batch: WorkItem) -> None:
        """Appends a batch; returns at once."""
        self._queue.put(batch)

    def stop_one(self) -> None:
        """Queues a stop signal: one consumer gets None after the queued batches."""
        self._queue.put(None)

    def take(self, *, wait: bool = True) -> WorkItem | None:
        """Removes and returns the first batch, or None if the consumer has to stop.

        Raises:
            queue.Empty: the queue is empty, and `wait` is False.
        """
        return self._queue.get(wait)

    def clear(self) -> list[int]:
        """Removes all batches and returns their numbers."""
        numbers = []
        with suppress(queue.Empty):
            while (batch := self.take(wait=False)) is not None:
                numbers.append(batch.number)
        return numbers

    def cancel(self, number: int, reason: str) -> None:
        """Marks the batch of that number as cancelled, until `forget`."""
        self._cancelled[number] = reason

    def forget(self, number: int) -> None:
        """Removes the mark of a batch that has been returned."""
        self._cancelled.pop(number, None)

    def cancel_reason(self, number: int) -> str | None:
        """Returns why the batch of that number was cancelled; None if it was not."""
        return self._cancelled.get(number)


class ResultSink(Protocol):
    """Receives results from worker threads: a queue, or an object that handles them in the worker thread."""

    def put(self, item: Returned | Exception, /) -> None:
        """Receives a batch's result, or the error that ended the thread."""
        ...


class WorkerThread:
    """Runs one batch at a time in a worker process. A process that dies loses the batch it was running, and is replaced.

    Args:
        name: the name of the worker.
        context: starts the processes.
        batches: the queue to take batches from; several threads may share it.
        results: receives finished batches, and an error that ends the study.
        recycle_after: trials after which the process is replaced; None: never.
        memory_limit: bytes of resident memory above which the process is replaced.
        main: the main loop of the processes.
    """

    def __init__(
        self,
        name: str,
        context: BaseContext,
        batches: BatchQueue,
        results: ResultSink,
        *,
        recycle_after: int | None,
        memory_limit: int,
        main: Callable[..., None] = serve,
    ) -> None:
        self.name = name
        self._context = context
        self._results = results
        self._recycle_after = recycle_after
        self._memory_limit = memory_limit
        self._main = main
        self.queue = batches
        self._thread = threading.Thread(target=self._run, name=f"rbt-ray-{name}", daemon=True)
        self._process: WorkerProcess | None = None
        self._job: str | None = None
        self._trials = 0
        self._lock = threading.Lock()  # a kill for one batch must not hit the next one
        self._closing = False
        self._loading: int | None = None
        self._at_work: int | None = None
        self._since = 0.0
        self._kill_reason: str | None = None
        self._unreported: Returned | None = None

    def start(self) -> None:
        """Starts the thread, which starts the process unless `start_process` has done so."""
        self._thread.start()

    def close(self) -> None:
        """Kills the worker, and makes the thread end; see `join`."""
        with self._lock:
            self._closing = True
            self._kill_process("the pool was closed")
        self.queue.stop_one()

    def join(self) -> None:
        """Waits up to 10 seconds for the thread to end."""
        self._thread.join(timeout=10)

    @property
    def ended(self) -> bool:
        """Whether the thread and its worker have ended, after `close` or by an error."""
        return not self._thread.is_alive()

    @property
    def pid(self) -> int | None:
        """The process id of the current worker; None if none runs."""
        process = self._process
        return None if process is None else process.pid

    def taken_at(self, number: int) -> float | None:
        """Returns when the worker began to evaluate the batch (`time.monotonic`); None if it is not evaluating it."""
        with self._lock:
            return self._since if self._at_work == number else None

    def kill(self, number: int, reason: str) -> None:
        """Kills the worker if it evaluates that batch or loads its job."""
        with self._lock:
            if number in (self._at_work, self._loading):
                self._kill_process(reason)

    def check_memory(self) -> None:
        """Kills a worker that evaluates a batch and holds more memory than the limit."""
        with self._lock:
            if self._process is not None and self._at_work is not None:
                used = self._process.resident()
                if used > self._memory_limit:
                    self._kill_process(memory_exceeded(used, self._memory_limit))

    def start_process(self) -> None:
        """Starts a new worker process and waits until it is ready.

        Raises:
            WorkerStartError: it cannot be started, or ended three times before it was ready.
            SettingError: a new worker already exceeds the memory limit.
        """
        for number in range(_TRIES):
            try:
                process = WorkerProcess(self._context, self.name, self._main)
            except (OSError, EOFError) as error:
                how = f"{type(error).__name__}: {error}; does the working directory exist, is memory left?"
                # A fork server that was killed refuses connections before its death is noticed.
                time.sleep(_PAUSE_SECONDS * 4**number)
                continue
            with self._lock:
                self._process, self._job, self._trials, self._kill_reason = process, None, 0, None
                if self._closing:
                    return
            try:
                process.receive(_START_SECONDS)
            except (AnswerError, EOFError, OSError):
                how = self._reap()
                continue
            self._check_memory(process)
            return
        raise WorkerStartError(
            f"worker {self.name} ended {_TRIES} times before it was ready ({how}). "
            f"Run `rbt-ray doctor`, and read what the worker printed on stderr."
        )

    def _run(self) -> None:
        try:
            if self._process is None:
                self.start_process()
            while (batch := self._next()) is not None:
                returned = self._evaluate(batch)
                self._report()
                self._unreported = returned
            self._report()
        except Exception as error:  # the caller of `wait` must get it, or waits forever
            self._report()
            self._results.put(error)
        finally:
            self._reap()

    def _next(self) -> WorkItem | None:
        """Returns the next batch, or None to stop.

        If a batch is queued, it is sent before the previous result is reported, so that the worker never idles.
        """
        with suppress(queue.Empty):
            return self.queue.take(wait=False)
        self._report()
        return self.queue.take()

    def _report(self) -> None:
        if self._unreported is not None:
            returned, self._unreported = self._unreported, None
            self._results.put(returned)

    def _evaluate(self, batch: WorkItem) -> Returned:
        if (reason := self._cancel_reason(batch)) is not None:  # before starting a process for it
            return Returned(batch.number, self.name, lost=reason)
        process = self._ready_for(batch)
        with self._lock:
            self._loading = None
            if (reason := self._cancel_reason(batch)) is not None:
                return Returned(batch.number, self.name, lost=reason)
            self._at_work, self._since = batch.number, time.monotonic()
        try:
            process.send(batch.message())
            self._report()
            message = process.receive()
        except (AnswerError, EOFError, OSError) as error:
            took = time.monotonic() - self._since
            self._kill_if_invalid(error)
            return Returned(batch.number, self.name, lost=self._reap(), wall_s=took)
        returned = received(message, batch, self.name)
        with self._lock:
            self._at_work = None
            if returned.unfit:
                self._kill_process("a trial damaged its process")
        self._trials += len(batch)
        if self._kill_reason or (self._recycle_after and self._trials >= self._recycle_after):
            self._reap()
        return returned

    def _cancel_reason(self, batch: WorkItem) -> str | None:
        """Returns why the batch must not start; None if it may."""
        return "the pool was closed" if self._closing else self.queue.cancel_reason(batch.number)

    def _ready_for(self, batch: WorkItem) -> WorkerProcess:
        """Returns a live worker that has loaded the batch's job; a death before that is not counted against a trial.

        Raises:
            WorkerStartError: no worker can be started.
            ObjectiveError: workers cannot load the objective, or die while they load it.
        """
        for _ in range(_TRIES):
            if self._process is None or self._kill_reason or self._process.has_message_or_ended(timeout=0):
                self._report()
                self._reap()
                self.start_process()
            process = self._process
            assert process is not None
            if self._job == batch.job.key:
                return process
            self._report()
            with self._lock:
                if self._cancel_reason(batch) is not None:
                    return process
                self._loading = batch.number
            try:
                if self._load(process, batch.job):
                    return process
                self._reap()  # a new process can load it
            except (AnswerError, EOFError, OSError) as error:
                if self._kill_reason:  # the batch was cancelled, or the pool is being closed
                    return process
                self._kill_if_invalid(error)
                how = self._reap()
        raise ObjectiveError(
            f"workers end while they load the objective ({how}, {_TRIES} times): "
            f"something it imports or holds ends the process that loads it."
        )

    def _load(self, process: WorkerProcess, job: Job) -> bool:
        """Loads the job; returns False if only a new process can load it."""
        self._job = None
        process.send(job)
        answer = process.receive()
        if isinstance(answer, Outdated):
            return False
        if answer is not None:
            if self._trials:  # earlier trials may have damaged the process: try a new one
                raise AnswerError(f"cannot load the objective ({answer})")
            raise ObjectiveError(answer)
        self._check_memory(process)
        self._job = job.key
        return True

    def _check_memory(self, process: WorkerProcess) -> None:
        used = process.resident()
        if used > self._memory_limit:
            raise SettingError(memory_limit_too_low(used, self._memory_limit))

    def _kill_if_invalid(self, error: Exception) -> None:
        """Kills a process that sent an invalid answer, and records the reason, which its exit code does not show."""
        if isinstance(error, AnswerError):
            with self._lock:
                self._kill_process(self._kill_reason or f"it {error}")

    def _kill_process(self, reason: str) -> None:
        if self._process is not None:
            self._kill_reason = reason
            self._process.kill()

    def _reap(self) -> str:
        """Removes the process, if any, and returns why it was killed or how it ended."""
        with self._lock:
            process, reason = self._process, self._kill_reason
            self._process, self._at_work, self._loading = None, None, None
        how = "never started" if process is None else process.end()
        return reason or how
