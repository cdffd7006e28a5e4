"""A pool of processes on this machine that outlive batches and studies."""

from __future__ import annotations

import itertools
import multiprocessing
import multiprocessing.connection
import multiprocessing.spawn
import os
import queue
import signal
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import psutil

from rbt_ray.data.bundle import Bundle
from rbt_ray.data.ref import FileRef
from rbt_ray.errors import ObjectiveError, SettingError, WorkerStartError
from rbt_ray.pool.pool import Batch, Job, Returned
from rbt_ray.pool.serve import serve
from rbt_ray.pool.start_method import StartMethod, context_for

_START_SECONDS = 60.0
_STARTS_BEFORE_GIVING_UP = 3
_MEMORY_LOOK_SECONDS = 0.2
_NAME = "rbt-ray-worker"
_starting = threading.Lock()
_pools: weakref.WeakSet[LocalPool] = weakref.WeakSet()
_spawn_preparation = multiprocessing.spawn.get_preparation_data


def _preparation_without_main(name: str) -> dict[str, Any]:
    """Keeps workers from running the user's script again: what they need of it comes with the objective."""
    data = _spawn_preparation(name)
    if name.startswith(_NAME):
        data.pop("init_main_from_name", None)
        data.pop("init_main_from_path", None)
    return data


multiprocessing.spawn.get_preparation_data = _preparation_without_main


class LocalPool:
    """Worker processes behind pipes, each with a thread of the driver that carries its batches.

    Args:
        n_workers: how many processes.
        recycle_after: replace a worker after this many trials; None never does.
        memory_limit: bytes of resident memory above which a worker is replaced; None: 80 % of the machine's
            memory, shared evenly.
        start_method: "forkserver" where there is one, else "spawn", unless the environment variable
            ``RBT_RAY_START_METHOD`` says otherwise. "fork" is for programs that run no threads.
    """

    def __init__(
        self,
        n_workers: int,
        *,
        recycle_after: int | None = None,
        memory_limit: int | None = None,
        start_method: StartMethod | None = None,
    ) -> None:
        self._context = context_for(start_method)
        self._recycle_after = recycle_after
        self._memory_limit = memory_limit or int(0.8 * psutil.virtual_memory().total / n_workers)
        self._returned: queue.SimpleQueue[Returned | Exception] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._couriers = [_Courier(self, f"local-{number}") for number in range(n_workers)]
        self._holder: dict[int, _Courier] = {}
        _pools.add(self)
        if self._context.get_start_method() == "fork":
            # A child forked while another thread imports could wait for ever for that import: fork first.
            import rbt_ray.pool.worker  # noqa: F401

            for courier in self._couriers:
                courier.start_process()
        for courier in self._couriers:
            courier.thread.start()
        threading.Thread(target=self._watch_memory, name="rbt-ray-memory", daemon=True).start()

    @property
    def capacity(self) -> int:
        """One batch a worker: a batch takes a thousand times as long as handing over the next."""
        return len(self._couriers)

    @property
    def n_workers(self) -> int:
        """The number of processes."""
        return len(self._couriers)

    def share(self, bundle: Bundle) -> FileRef:
        """The bundle's own file, which every worker maps: one copy in the page cache for all.

        Raises:
            SettingError: the bundle was not saved.
        """
        if bundle.path is None:
            raise SettingError("a local pool shares a bundle by its file; save it first with `bundle.save(path)`.")
        return FileRef(bundle.path, bundle.version)

    def submit(self, batch: Batch) -> None:
        """Hands the batch to an idle worker."""
        busy = set(self._holder.values())
        courier = next(courier for courier in self._couriers if courier not in busy)
        self._holder[batch.number] = courier
        courier.inbox.put(batch)

    def wait(self, timeout: float | None = None) -> Sequence[Returned]:
        """What came back, as soon as anything did.

        Raises:
            WorkerStartError: workers die before they take a batch.
            ObjectiveError: the workers cannot load the objective.
        """
        arrived: list[Returned] = []
        try:
            arrived.append(self._take(timeout))
            while True:
                arrived.append(self._take(0.0))
        except queue.Empty:
            return arrived

    def taken_at(self, number: int) -> float | None:
        """When a worker began to evaluate the batch; None while the worker starts or loads the objective."""
        courier = self._holder.get(number)
        return None if courier is None else courier.taken_at(number)

    def cancel(self, number: int, reason: str) -> None:
        """Kills the worker that holds the batch; another takes its place."""
        courier = self._holder.get(number)
        if courier is not None:
            courier.kill(number, reason)

    def close(self) -> None:
        """Ends all workers; returns when they are gone."""
        self._closing.set()
        for courier in self._couriers:
            courier.inbox.put(None)
            courier.kill(None, "the pool was closed")
        for courier in self._couriers:
            courier.thread.join(timeout=10)

    def pids(self) -> list[int]:
        """The process ids of the workers that run now."""
        return [pid for courier in self._couriers if (pid := courier.pid) is not None]

    def driver_ends(self) -> tuple[Connection, ...]:
        """The driver's ends of all pipes."""
        running = [courier for courier in self._couriers if courier._process is not None]
        return tuple(itertools.chain.from_iterable((courier._pipe, courier._life) for courier in running))

    def _take(self, timeout: float | None) -> Returned:
        item = self._returned.get(timeout=timeout) if timeout != 0.0 else self._returned.get_nowait()
        if isinstance(item, Exception):
            raise item
        self._holder.pop(item.number, None)
        return item

    def _watch_memory(self) -> None:
        while not self._closing.wait(_MEMORY_LOOK_SECONDS):
            for courier in self._couriers:
                courier.check_memory(self._memory_limit)


class _Courier:
    """A thread that keeps one worker process running and carries batches to and from it."""

    def __init__(self, pool: LocalPool, name: str) -> None:
        self.inbox: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._carry, name=f"rbt-ray-{name}", daemon=True)
        self._pool = pool
        self._name = name
        self._process: BaseProcess | None = None
        self._pipe: Connection
        self._life: Connection
        self._job: str | None = None
        self._trials = 0
        self._at_work: int | None = None
        self._since = 0.0
        self._loading: int | None = None
        self._doomed: tuple[int | None, str] | None = None
        self._struck = False
        self._reason: str | None = None
        self._lock = threading.Lock()  # a kill never strikes the worker's next batch

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.is_alive() else None

    def taken_at(self, number: int) -> float | None:
        with self._lock:
            return self._since if self._at_work == number else None

    def kill(self, number: int | None, reason: str) -> None:
        """Kills the worker when it is at work on that batch, now or as soon as it takes it; at once for None."""
        with self._lock:
            self._doomed = number, reason
            if number in (None, self._at_work, self._loading):
                self._strike(reason)

    def check_memory(self, limit: int) -> None:
        with self._lock:
            if self._process is None or self._at_work is None:
                return
            try:
                used = psutil.Process(self._process.pid).memory_info().rss
            except psutil.Error:
                return
            if used > limit:
                self._strike(
                    f"out of memory: the worker held {used / 2**20:,.0f} MiB, the limit is {limit / 2**20:,.0f} MiB "
                    f"(`worker_memory_limit`)"
                )

    def _strike(self, reason: str) -> None:
        if self._process is not None:
            self._struck, self._reason = True, reason
            self._process.kill()

    def _carry(self) -> None:
        try:
            if self._process is None:
                self.start_process()
            while (batch := self.inbox.get()) is not None:
                returned = self._deliver(batch)
                with self._lock:
                    self._doomed = None
                self._pool._returned.put(returned)
        except Exception as error:  # it must reach whoever waits, or they wait for ever
            self._pool._returned.put(error)
        finally:
            self._end()

    def _deliver(self, batch: Batch) -> Returned:
        self._make_ready(batch)
        with self._lock:
            self._loading = None
            if self._doomed is not None and self._doomed[0] == batch.number:
                return Returned(batch.number, self._name, lost=self._doomed[1])
            self._at_work, self._since = batch.number, time.monotonic()
        try:
            self._pipe.send((batch.number, batch.trials, batch.points, batch.fidelity, batch.purpose))
            returned: Returned = self._receive()
        except (EOFError, OSError):
            return Returned(batch.number, self._name, lost=self._bury())
        with self._lock:
            self._at_work = None
        self._trials += len(batch.trials)
        if self._struck or (self._pool._recycle_after and self._trials >= self._pool._recycle_after):
            self._end()
        return returned

    def _make_ready(self, batch: Batch) -> None:
        """Sees to a living worker that has loaded the batch's job: a death before that is no trial's fault.

        Raises:
            WorkerStartError: no worker can be started.
            ObjectiveError: workers cannot load the objective, or die of it.
        """
        for _ in range(_STARTS_BEFORE_GIVING_UP):
            if self._process is None or self._struck or self._speaks_or_died(timeout=0):
                self._end()
                self.start_process()
            if self._job == batch.job.key:
                return
            with self._lock:
                self._loading = batch.number
            try:
                self._send_job(batch.job)
                return
            except (EOFError, OSError):
                struck, how = self._struck, self._bury()
            if struck:  # the batch was cancelled, or the pool is being closed
                return
        raise ObjectiveError(
            f"workers end while they load the objective ({how}, {_STARTS_BEFORE_GIVING_UP} times): "
            f"something it imports or holds ends the process that loads it."
        )

    def _send_job(self, job: Job) -> None:
        self._job = None
        self._pipe.send(job)
        answer = self._receive()
        if answer is not None:
            raise ObjectiveError(answer)
        self._job = job.key

    def _receive(self) -> Any:
        self._speaks_or_died(timeout=None)
        if not self._pipe.poll():  # a process that the dead worker started may hold the other end: no EOF comes
            raise EOFError
        return self._pipe.recv()

    def _speaks_or_died(self, timeout: float | None) -> bool:
        assert self._process is not None
        return bool(multiprocessing.connection.wait([self._pipe, self._process.sentinel], timeout))

    def start_process(self) -> None:
        """A fresh worker process that said it is ready.

        Raises:
            WorkerStartError: it cannot be started, or died three times before it was ready.
            SettingError: a fresh worker is above the memory limit already.
        """
        for _ in range(_STARTS_BEFORE_GIVING_UP):
            if self._pool._closing.is_set():
                return
            try:
                with _starting:
                    self._launch()
            except (OSError, EOFError) as error:  # EOFError: the fork server died, and is started again
                how = f"{type(error).__name__}: {error}; does the working directory exist, is memory left?"
                continue
            try:
                if self._pipe.poll(_START_SECONDS):
                    self._pipe.recv()
                    self._check_room()
                    return
            except (EOFError, OSError):
                pass
            how = self._bury()
        raise WorkerStartError(
            f"worker {self._name} ended {_STARTS_BEFORE_GIVING_UP} times before it was ready ({how}). "
            f"Run `rbt-ray doctor`, and look at what it printed on stderr."
        )

    def _check_room(self) -> None:
        process = self._process
        if process is None:
            return
        try:
            used = psutil.Process(process.pid).memory_info().rss
        except psutil.Error:
            return
        limit = self._pool._memory_limit
        if used > limit:
            self._end()
            raise SettingError(
                f"`worker_memory_limit` is {limit / 2**20:,.0f} MiB, and a worker that has done nothing yet holds "
                f"{used / 2**20:,.0f} MiB: raise it, or use fewer workers."
            )

    def _launch(self) -> None:
        context: Any = self._pool._context
        ours, theirs = context.Pipe()
        life_end, life = context.Pipe(duplex=False)
        forked = context.get_start_method() == "fork"
        others = itertools.chain.from_iterable(pool.driver_ends() for pool in list(_pools)) if forked else ()
        inherited = (*others, ours, life) if forked else ()
        process = context.Process(
            target=serve, args=(theirs, life_end, self._name, inherited), name=f"{_NAME}-{self._name}", daemon=True
        )
        process.start()
        theirs.close()
        life_end.close()
        with self._lock:
            self._process, self._pipe, self._life = process, ours, life
            self._job, self._trials, self._reason, self._struck = None, 0, None, False

    def _bury(self) -> str:
        """Ends what is left of the process and says how it ended."""
        process, reason = self._process, self._reason
        self._end()
        if reason is not None or process is None:
            return reason or "never started"
        code = process.exitcode
        if code is None:
            return "lost contact"
        return f"killed by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exited with code {code}"

    def _end(self) -> None:
        with self._lock:
            process, self._process, self._at_work, self._loading = self._process, None, None, None
        if process is None:
            return
        self._pipe.close()
        self._life.close()
        process.join(timeout=1)
        if process.is_alive():
            process.kill()
            process.join(timeout=10)


def usable_cpus() -> int:
    """The cores this process may use."""
    if sys.platform.startswith("linux"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
