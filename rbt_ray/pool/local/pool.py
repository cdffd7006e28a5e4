"""A pool of processes on this machine that outlive batches and studies."""

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
from rbt_ray.pool.local.batch_queue import BatchQueue
from rbt_ray.pool.local.start_method import StartMethod, context_for, require_children
from rbt_ray.pool.local.worker_thread import WorkerThread
from rbt_ray.pool.memory import default_memory_limit
from rbt_ray.pool.pool import Batch, Returned

_MEMORY_LOOK_SECONDS = 0.2
_BATCH_SECONDS = 0.2


class LocalPool:
    """Worker processes behind pipes, each with a thread of the driver that carries its batches.

    Args:
        n_workers: how many processes.
        recycle_after: replace a worker after this many trials; None never does.
        memory_limit: bytes of resident memory, without pages of files, above which a worker is replaced; None: 80 % of
            the machine's memory, shared evenly.
        start_method: "forkserver" where there is one, else "spawn", unless the environment variable
            ``RBT_RAY_START_METHOD`` says otherwise. "fork" is for programs that run no threads.

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
        self._returned: queue.SimpleQueue[Returned | Exception] = queue.SimpleQueue()
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
            # A child forked while another thread imports could wait for ever for that import: fork first.
            import rbt_ray.pool.worker  # noqa: F401

            for thread in self._threads:
                thread.start_process()
        for thread in self._threads:
            thread.start()
        threading.Thread(target=self._watch_memory, name="rbt-ray-memory", daemon=True).start()

    @property
    def is_alive(self) -> bool:
        """It needs nothing but itself."""
        return True

    @property
    def capacity(self) -> int:
        """One batch under way and one in line for every worker: whoever is free first takes the next at once."""
        return 2 * len(self._threads)

    @property
    def n_workers(self) -> int:
        """The number of processes."""
        return len(self._threads)

    @property
    def batch_seconds(self) -> float:
        """Long beside the cost of a pipe, short beside a study."""
        return _BATCH_SECONDS

    @property
    def n_checks(self) -> int:
        """One: all workers map the same file."""
        return 1

    def share(self, bundle: Bundle) -> FileRef:
        """The bundle's own file, which every worker maps: one copy in the page cache for all.

        Raises:
            SettingError: the bundle was not saved.
        """
        if bundle.path is None:
            raise SettingError("a local pool shares a bundle by its file; save it first with `bundle.save(path)`.")
        return FileRef(bundle.path, bundle.version)

    def share_files(self, files: FileTree) -> FileTree:
        """The folder itself."""
        return files

    def submit(self, batch: Batch) -> None:
        """Puts the batch in line."""
        self._queue.put(batch)

    def wait(self, timeout: float | None = None) -> Sequence[Returned]:
        """What came back, as soon as anything did.

        Raises:
            WorkerStartError: workers die before they take a batch.
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
        """When a worker began to evaluate the batch; None while it is in line, or its worker starts or loads the objective."""
        return next((at for thread in self._threads if (at := thread.taken_at(number)) is not None), None)

    def cancel(self, number: int, reason: str) -> None:
        """Kills the worker that holds the batch, and another takes its place; one in line comes back in its turn."""
        self._queue.cancel(number, reason)
        for thread in self._threads:
            thread.kill(number, reason)

    def recall(self) -> list[int]:
        """Takes back the batches in line."""
        return self._queue.clear()

    def rest(self) -> bool:
        """True: an idle process keeps no processor from others."""
        return True

    def close(self) -> None:
        """Ends all workers; returns when they are gone."""
        self._closing.set()
        for thread in self._threads:
            thread.close()
        for thread in self._threads:
            thread.join()

    def pids(self) -> list[int]:
        """The process ids of the workers that run now."""
        return [pid for thread in self._threads if (pid := thread.pid) is not None]

    def _next_returned(self, timeout: float | None) -> Returned:
        item = self._returned.get(timeout=timeout) if timeout != 0.0 else self._returned.get_nowait()
        if isinstance(item, Exception):
            self._error = item  # raised once what came before it was taken
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
    n_workers = settings.num_workers or max(1, usable_cpus() // settings.num_cpus_per_worker)
    worker_limits.check(n_workers, settings.worker_memory_limit)
    return LocalPool(n_workers, recycle_after=settings.recycle_after, memory_limit=settings.worker_memory_limit)


def usable_cpus() -> int:
    """The cores this process may use."""
    if sys.platform.startswith("linux"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
