"""A thread of the driver that keeps one worker process running and carries batches to and from it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.context import BaseContext
from typing import Protocol

from rbt_ray.errors import ObjectiveError, SettingError, WorkerStartError
from rbt_ray.pool.frames import AnswerError
from rbt_ray.pool.local.batch_queue import BatchQueue
from rbt_ray.pool.local.main_loop import Outdated, serve
from rbt_ray.pool.local.worker_process import WorkerProcess
from rbt_ray.pool.memory import memory_exceeded, memory_limit_too_low
from rbt_ray.pool.pool import Job, Returned, WorkItem, received

_START_SECONDS = 60.0
_TRIES = 3
_PAUSE_SECONDS = 0.1


class ResultSink(Protocol):
    """Where threads put what comes back: a queue, or whoever acts on it in the thread's own thread."""

    def put(self, item: Returned | Exception, /) -> None:
        """Takes what came back, or the error at which the thread has ended."""
        ...


class WorkerThread:
    """Carries one batch at a time; a worker that dies costs the batch it was at work on, and is replaced.

    Args:
        name: the worker's.
        context: how its processes are started.
        line: where it takes batches from, alone or as one of several.
        returned: where batches go that come back, and errors that end the study.
        recycle_after: trials after which the process is replaced; None: never.
        memory_limit: bytes of resident memory above which it is.
        main: the main loop of its processes.
    """

    def __init__(
        self,
        name: str,
        context: BaseContext,
        line: BatchQueue,
        returned: ResultSink,
        *,
        recycle_after: int | None,
        memory_limit: int,
        main: Callable[..., None] = serve,
    ) -> None:
        self.name = name
        self._context = context
        self._returned = returned
        self._recycle_after = recycle_after
        self._memory_limit = memory_limit
        self._main = main
        self.queue = line
        self._thread = threading.Thread(target=self._run, name=f"rbt-ray-{name}", daemon=True)
        self._process: WorkerProcess | None = None
        self._job: str | None = None
        self._trials = 0
        self._lock = threading.Lock()  # a kill never strikes the worker's next batch
        self._closing = False
        self._loading: int | None = None
        self._at_work: int | None = None
        self._since = 0.0
        self._kill_reason: str | None = None
        self._unreported: Returned | None = None

    def start(self) -> None:
        """Begins to carry; the process is started by the thread, unless `start_process` has done so."""
        self._thread.start()

    def close(self) -> None:
        """Ends the worker, whatever it is doing, and the thread after it; see `join`."""
        with self._lock:
            self._closing = True
            self._kill_process("the pool was closed")
        self.queue.stop_one()

    def join(self) -> None:
        """Returns when worker and thread have ended."""
        self._thread.join(timeout=10)

    @property
    def ended(self) -> bool:
        """Whether worker and thread have ended, after `close` or by an error."""
        return not self._thread.is_alive()

    @property
    def pid(self) -> int | None:
        """The process id of the worker that runs now."""
        process = self._process
        return None if process is None else process.pid

    def taken_at(self, number: int) -> float | None:
        """When the worker began to evaluate the batch; None before."""
        with self._lock:
            return self._since if self._at_work == number else None

    def kill(self, number: int, reason: str) -> None:
        """Kills the worker if it is at work on that batch or loads its job."""
        with self._lock:
            if number in (self._at_work, self._loading):
                self._kill_process(reason)

    def check_memory(self) -> None:
        """Kills the worker at work when it holds more than the limit."""
        with self._lock:
            if self._process is not None and self._at_work is not None:
                used = self._process.resident()
                if used > self._memory_limit:
                    self._kill_process(memory_exceeded(used, self._memory_limit))

    def start_process(self) -> None:
        """Sees to a fresh worker process that said it is ready.

        Raises:
            WorkerStartError: it cannot be started, or ended three times before it was ready.
            SettingError: a fresh worker is above the memory limit already.
        """
        for number in range(_TRIES):
            try:
                process = WorkerProcess(self._context, self.name, self._main)
            except (OSError, EOFError) as error:
                how = f"{type(error).__name__}: {error}; does the working directory exist, is memory left?"
                time.sleep(
                    _PAUSE_SECONDS * 4**number
                )  # a fork server that was killed refuses before it is known to be dead
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
            f"Run `rbt-ray doctor`, and look at what it printed on stderr."
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
        except Exception as error:  # it must reach whoever waits, or they wait for ever
            self._report()
            self._returned.put(error)
        finally:
            self._reap()

    def _next(self) -> WorkItem | None:
        """The next batch. Where one waits, what came back is told once that is on its way: the worker idles no longer."""
        with suppress(queue.Empty):
            return self.queue.take(wait=False)
        self._report()
        return self.queue.take()

    def _report(self) -> None:
        if self._unreported is not None:
            returned, self._unreported = self._unreported, None
            self._returned.put(returned)

    def _evaluate(self, batch: WorkItem) -> Returned:
        if (reason := self._cancel_reason(batch)) is not None:  # before a process is started for it
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
        """Why the batch is not to be begun with; None where it is."""
        return "the pool was closed" if self._closing else self.queue.cancel_reason(batch.number)

    def _ready_for(self, batch: WorkItem) -> WorkerProcess:
        """A living worker that has loaded the batch's job: a death before that is no trial's fault.

        Raises:
            WorkerStartError: no worker can be started.
            ObjectiveError: workers cannot load the objective, or die of it.
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
        """Loads the job; returns False where only a new process can."""
        self._job = None
        process.send(job)
        answer = process.receive()
        if isinstance(answer, Outdated):
            return False
        if answer is not None:
            if self._trials:  # earlier trials may have damaged the process: only a fresh one can tell
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
        """Kills a process that sent an invalid answer, and records why: its exit code would not tell."""
        if isinstance(error, AnswerError):
            with self._lock:
                self._kill_process(self._kill_reason or f"it {error}")

    def _kill_process(self, reason: str) -> None:
        if self._process is not None:
            self._kill_reason = reason
            self._process.kill()

    def _reap(self) -> str:
        """Ends what is left of the process and says why, or how, it ended."""
        with self._lock:
            process, reason = self._process, self._kill_reason
            self._process, self._at_work, self._loading = None, None, None
        how = "never started" if process is None else process.end()
        return reason or how
