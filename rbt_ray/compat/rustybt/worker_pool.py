"""PersistentWorkerPool: multiprocessing.Pool's interface over worker processes that outlive a batch."""

from __future__ import annotations

import atexit
import functools
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from multiprocessing.context import BaseContext
from typing import Any

from rbt_ray.compat.rustybt.async_result import AsyncResult, ResultIterator
from rbt_ray.compat.rustybt.call_pool import CallPool, end_all
from rbt_ray.compat.rustybt.calls import Call, Initializer, pack_function, serve_calls
from rbt_ray.compat.rustybt.search_algorithms import require_count
from rbt_ray.errors import SettingError, WorkerDiedError
from rbt_ray.pool.local.pool import usable_cpus
from rbt_ray.pool.local.start_method import context_for
from rbt_ray.pool.pool import Job

_CHUNKS = 4
"""Chunks per worker of a batch without `chunksize`, as in multiprocessing."""


class PersistentWorkerPool(CallPool):
    """A pool of processes that keep their state from batch to batch.

    It has `multiprocessing.Pool`'s methods, with these differences. Functions and arguments may be lambdas, closures and
    classes of a script, as cloudpickle pickles them. A call whose process dies raises `WorkerDiedError`; the other calls of
    its chunk are made again. `imap` reads its iterable only as far as needed.

    Args:
        processes: number of processes; None: one per core that this process may use.
        initializer: function called once in each process, before its first call.
        initargs: the initializer's arguments; locks, queues and pipes must be those of `context`.
        maxtasksperchild: calls after which a process is replaced; None: never.
        context: multiprocessing context that starts processes; None: a fork server on Linux, else spawn.

    Raises:
        SettingError: an argument has an invalid value.
    """

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: BaseContext | None = None,
    ) -> None:
        processes = usable_cpus() if processes is None else processes
        for name, value in (("processes", processes), ("maxtasksperchild", maxtasksperchild)):
            whole = isinstance(value, int) and not isinstance(value, bool)
            if value is not None and not (whole and value > 0):
                raise SettingError(f"{name} must be positive: a whole number of at least 1, or None; got {value!r}.")
        if initializer is not None and not callable(initializer):
            raise TypeError(f"`initializer` must be a function or None; got {initializer!r}.")
        super().__init__(
            processes,
            context_for() if context is None else context,
            functools.partial(serve_calls, Initializer(initializer, tuple(initargs))),
            maxtasksperchild,
        )
        self._batches = self._tasks = 0
        self._started = time.monotonic()

    def run_batch(self, func: Callable[[Any], Any], tasks: Iterable[Any], chunksize: int | None = None) -> list[Any]:
        """Like `map`, and counts as a batch in `get_statistics`."""
        tasks = list(tasks)
        results: list[Any] = self.map(func, tasks, chunksize)
        self._batches += 1
        self._tasks += len(tasks)
        return results

    def map(self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int | None = None) -> Any:
        """Returns the results of `func(element)` in the order of the elements."""
        return self.map_async(func, iterable, chunksize).get()

    def starmap(self, func: Callable[..., Any], iterable: Iterable[Iterable[Any]], chunksize: int | None = None) -> Any:
        """Returns the results of `func(*element)` in the order of the elements."""
        return self.starmap_async(func, iterable, chunksize).get()

    def apply(self, func: Callable[..., Any], args: Iterable[Any] = (), kwds: Mapping[str, Any] | None = None) -> Any:
        """Returns the result of one call."""
        return self.apply_async(func, args, kwds).get()

    def map_async(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult:
        """Starts `map` and returns its `AsyncResult`."""
        calls: list[Call] = [((element,), {}) for element in iterable]
        return self._map_async(func, calls, chunksize, callback, error_callback)

    def starmap_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult:
        """Starts `starmap` and returns its `AsyncResult`."""
        calls: list[Call] = [(tuple(element), {}) for element in iterable]
        return self._map_async(func, calls, chunksize, callback, error_callback)

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult:
        """Starts `apply` and returns its `AsyncResult`."""
        result = AsyncResult(self, 1, single=True, callback=callback, error_callback=error_callback)
        self._submit(self._job(func), [(tuple(args), dict(kwds or {}))], result, 0)
        return result

    def imap(self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int = 1) -> ResultIterator:
        """Yields the results of `func` in order, while a few more calls are running."""
        return self._imap(func, iterable, chunksize, ordered=True)

    def imap_unordered(self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int = 1) -> ResultIterator:
        """Like `imap`, but in order of completion."""
        return self._imap(func, iterable, chunksize, ordered=False)

    def reset_workers(self) -> None:
        """Replaces all processes; the old ones finish their running calls first."""
        with self._state:
            self._check_open()
            for worker in self._idle:
                worker.close()
            self._retiring[:] = [worker for worker in self._retiring if not worker.ended] + self._workers
            self._workers.clear()
            self._idle.clear()
            for _ in range(self._processes):
                self._start_worker()
            self._dispatch()

    def get_statistics(self) -> dict[str, Any]:
        """Returns statistics since the pool was created.

        `batch_count` and `total_tasks` of `run_batch`, their ratio `average_tasks_per_batch`, `processes`,
        `uptime_seconds`, `worker_deaths`, and `pids`, the ids of the running processes.
        """
        return {
            "batch_count": self._batches,
            "total_tasks": self._tasks,
            "average_tasks_per_batch": self._tasks / self._batches if self._batches else 0.0,
            "processes": self._processes,
            "uptime_seconds": time.monotonic() - self._started,
            "worker_deaths": self._deaths,
            "pids": [pid for worker in list(self._workers) if (pid := worker.pid) is not None],
        }

    @property
    def closed(self) -> bool:
        """Whether the pool accepts no more calls."""
        return self._closed or self._error is not None

    def close(self) -> None:
        """Accepts no more calls; processes exit when all calls, including those of `imap`, have finished."""
        with self._state:
            self._closed = True
            self._end_if_done()

    def terminate(self) -> None:
        """Kills the processes; unfinished calls fail with `WorkerDiedError`."""
        with self._state:
            self._closed = True
        self._break(WorkerDiedError("the pool was terminated before the call finished."))

    def join(self) -> None:
        """Waits until the processes have exited; reads the iterables of `imap` to their end first.

        Raises:
            ValueError: neither `close` nor `terminate` was called.
        """
        with self._state:
            if not self._closed:
                raise ValueError("the pool still takes calls; `close` or `terminate` it first.")
            iterators = list(self._iterators)
        for iterator in iterators:
            iterator.feed(all_of_it=True)
        with self._state:
            self._state.wait_for(lambda: not self._open)
        end_all(self._workers, self._retiring)
        for worker in [*self._workers, *self._retiring]:
            worker.join()

    def __enter__(self) -> PersistentWorkerPool:
        self._check_open()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Stops the processes: after the running calls, or at once after an exception."""
        if kind is None:
            with self._state:
                self._iterators.clear()
            self.close()
        else:
            self.terminate()
        self.join()

    def __repr__(self) -> str:
        return (
            f"PersistentWorkerPool(processes={self._processes}, batches={self._batches}, tasks={self._tasks}, "
            f"uptime={time.monotonic() - self._started:.1f}s)"
        )

    def _map_async(
        self, func: Any, calls: Sequence[Call], chunksize: int | None, callback: Any, error_callback: Any
    ) -> AsyncResult:
        job, result = self._job(func), AsyncResult(self, len(calls), callback=callback, error_callback=error_callback)
        even = max(-(-len(calls) // (_CHUNKS * self._processes)), 1)
        size = self._chunk(even if chunksize is None else chunksize)
        for start in range(0, len(calls), size):
            self._submit(job, calls[start : start + size], result, start)
        return result

    def _imap(self, func: Any, iterable: Iterable[Any], chunksize: int, *, ordered: bool) -> ResultIterator:
        job, size, elements = self._job(func), self._chunk(chunksize), iter(iterable)

        def start(target: ResultIterator, index: int) -> int:
            try:
                self._check_open(target)
                chunk: list[Call] = [((element,), {}) for element in itertools.islice(elements, size)]
                if chunk:
                    self._submit(job, chunk, target, index)
                    return len(chunk)
            except BaseException:
                self._forget(target)
                raise
            self._forget(target)
            return 0

        iterator = ResultIterator(start, 2 * size * self._processes, ordered=ordered)
        with self._state:
            self._check_open()
            self._iterators.add(iterator)
        iterator.feed()
        return iterator

    def _chunk(self, size: int) -> int:
        """Returns the chunk size; with `maxtasksperchild` a divisor of it, so that no process exceeds the limit."""
        require_count("chunksize", size)
        return (
            size if self._most is None else max(n for n in range(1, min(size, self._most) + 1) if self._most % n == 0)
        )

    def _job(self, func: Any) -> Job:
        self._check_open()
        if not callable(func):
            raise TypeError(f"`func` must be a function; got {func!r}.")
        return pack_function(func)


_pools: dict[tuple[int, int | None], PersistentWorkerPool] = {}
_lock = threading.Lock()


def get_global_pool(processes: int | None = None, maxtasksperchild: int | None = None) -> PersistentWorkerPool:
    """Returns the process-wide pool of this size, created on first use and ended by `cleanup_global_pool` or at exit.

    The arguments are those of `PersistentWorkerPool`.
    """
    key = usable_cpus() if processes is None else processes, maxtasksperchild
    with _lock:
        if key not in _pools or _pools[key].closed:
            _pools[key] = PersistentWorkerPool(key[0], maxtasksperchild=maxtasksperchild)
        return _pools[key]


def cleanup_global_pool() -> None:
    """Stops the processes of all pools of `get_global_pool`."""
    with _lock:
        while _pools:
            pool = _pools.popitem()[1]
            pool.terminate()
            pool.join()


atexit.register(cleanup_global_pool)
