"""A pool of processes on this machine, which it reuses for the next batch and the next study."""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress

from rbt_ray.data.bundle import Bundle, FileRef
from rbt_ray.data.file_tree import FileTree
from rbt_ray.errors import SettingError
from rbt_ray.pool.backends import PoolSettings
from rbt_ray.pool.local import worker_limits
from rbt_ray.pool.local.start_method import StartMethod, context_for, require_children
from rbt_ray.pool.local.worker_thread import BatchQueue, WorkerThread
from rbt_ray.pool.memory import default_memory_limit
from rbt_ray.pool.pool import Batch, Returned

_MEMORY_LOOK_SECONDS = 0.2
_BATCH_SECONDS = 0.2


class LocalPool:
    """Worker processes, each with a pipe and a thread of the driver that sends it batches.

    Args:
        n_workers: the number of processes.
        recycle_after: trials after which a worker is replaced; None: never.
        memory_limit: bytes of resident memory, without pages of files, above which a worker is replaced; None: 80 % of
            the machine's memory, shared evenly.
        start_method: "forkserver" on Linux, else "spawn", unless the environment variable
            ``RBT_RAY_START_METHOD`` says otherwise. "fork" is for programs without threads.

    Raises:
        SettingError: this process is a worker itself, or a daemon of `multiprocessing`.
    """

    def __init__(
        self,
        n_workers: int,
        *,
        recycle_after: int | None = None,
        memory_limit: int | None = None,
        start_method: StartMethod | None = None,
    ) -> None:
        require_children()
        context = context_for(start_method)
        limit = memory_limit or default_memory_limit(n_workers)
        self._returned: queue.Queue[Returned | Exception] = queue.Queue()
        self._closing = threading.Event()
        self._queue = BatchQueue()
        self._error: Exception | None = None
        self._threads = [
            WorkerThread(
                f"local-{number}", context, self._queue, self._returned, recycle_after=recycle_after, memory_limit=limit
            )
            for number in range(n_workers)
        ]
        if context.get_start_method() == "fork":
            # A child that is forked while another thread imports may deadlock on the import lock: fork first.
            import rbt_ray.pool.worker  # noqa: F401

            for thread in self._threads:
                thread.start_process()
        for thread in self._threads:
            thread.start()
        threading.Thread(target=self._watch_memory, name="rbt-ray-memory", daemon=True).start()

    @property
    def is_alive(self) -> bool:
        """True: it depends on nothing that others can shut down."""
        return True

    @property
    def capacity(self) -> int:
        """Two batches per worker: one that it evaluates and one that is queued."""
        return 2 * len(self._threads)

    @property
    def n_workers(self) -> int:
        """The number of processes."""
        return len(self._threads)

    @property
    def batch_seconds(self) -> float:
        """Long compared with a transfer through a pipe, short compared with a study."""
        return _BATCH_SECONDS

    @property
    def n_checks(self) -> int:
        """One: all workers map the same file."""
        return 1

    def share(self, bundle: Bundle) -> FileRef:
        """Returns a reference to the bundle's file, which every worker maps: all share one copy in the page cache.

        Raises:
            SettingError: the bundle has no file.
        """
        if bundle.path is None:
            raise SettingError("a local pool shares a bundle by its file; save it first with `bundle.save(path)`.")
        return FileRef(bundle.path, bundle.version)

    def share_files(self, files: FileTree) -> FileTree:
        """Returns the files themselves, whose folder every worker can read."""
        return files

    def submit(self, batch: Batch) -> None:
        """Queues the batch; returns at once."""
        self._queue.put(batch)

    def wait(self, timeout: float | None = None) -> Sequence[Returned]:
        """Returns finished batches as soon as there is one; an empty list after `timeout` seconds.

        Raises:
            WorkerStartError: workers die before they are ready.
            ObjectiveError: the workers cannot load the objective.
        """
        arrived: list[Returned] = []
        with suppress(queue.Empty):
            while self._error is None:
                arrived.append(self._next_returned(0.0 if arrived else timeout))
        if self._error is not None and not arrived:
            raise self._error
        return arrived

    def taken_at(self, number: int) -> float | None:
        """Returns when a worker began to evaluate the batch; None while it is queued, or its worker starts or loads the job."""
        return next((at for thread in self._threads if (at := thread.taken_at(number)) is not None), None)

    def cancel(self, number: int, reason: str) -> None:
        """Kills and replaces the worker that holds the batch; a queued batch is returned as lost when a worker takes it."""
        self._queue.cancel(number, reason)
        for thread in self._threads:
            thread.kill(number, reason)

    def recall(self) -> list[int]:
        """Takes back the queued batches and returns their numbers."""
        return self._queue.clear()

    def rest(self) -> bool:
        """Returns True: an idle process uses no processor."""
        return True

    def close(self) -> None:
        """Ends all workers and waits for them."""
        self._closing.set()
        for thread in self._threads:
            thread.close()
        for thread in self._threads:
            thread.join()

    def pids(self) -> list[int]:
        """Returns the process ids of the running workers."""
        return [pid for thread in self._threads if (pid := thread.pid) is not None]

    def _next_returned(self, timeout: float | None) -> Returned:
        item = self._returned.get(timeout=timeout) if timeout != 0.0 else self._returned.get_nowait()
        if isinstance(item, Exception):
            self._error = item  # `wait` raises it after it has returned the earlier results
            raise queue.Empty
        self._queue.forget(item.number)
        return item

    def _watch_memory(self) -> None:
        while not self._closing.wait(_MEMORY_LOOK_SECONDS):
            for thread in self._threads:
                thread.check_memory()


def start(settings: PoolSettings) -> LocalPool:
    """Starts the workers of ``backend="local"``.

    Raises:
        SettingError: so many workers cannot be started here.
    """
    n_workers = settings.num_workers or workers_here(settings.num_cpus_per_worker, settings.max_workers)
    worker_limits.check(n_workers, settings.worker_memory_limit)
    return LocalPool(n_workers, recycle_after=settings.recycle_after, memory_limit=settings.worker_memory_limit)


def workers_here(num_cpus_per_worker: float, max_workers: int | None = None) -> int:
    """Returns the number of workers for the cores that this process may use, at least one."""
    n_workers = max(1, int(usable_cpus() / num_cpus_per_worker))
    return n_workers if max_workers is None else min(n_workers, max_workers)


def usable_cpus() -> int:
    """Returns the number of cores that this process may use."""
    if sys.platform.startswith("linux"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
