"""Results of asynchronous calls of a pool, with multiprocessing's interface."""

from __future__ import annotations

import multiprocessing
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

from rbt_ray.compat.rustybt.calls import CallResult


class AsyncResult:
    """The results of `n` calls, available when all of them have finished.

    Args:
        pool: the pool that makes the calls; kept alive until they finish.
        n: the number of calls.
        single: whether `get` returns the only result itself instead of a list.
        callback: called with what `get` returns, in a thread of the pool; its exceptions go to `threading.excepthook`.
        error_callback: called with what `get` raises.
    """

    def __init__(
        self,
        pool: Any,
        n: int,
        *,
        single: bool = False,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> None:
        self._pool = pool
        self._single = single
        self._callback = callback
        self._error_callback = error_callback
        self._answers: list[CallResult | None] = [None] * n
        self._left = n
        self._lock = threading.Lock()
        self._done = threading.Event()
        if not n:  # without a callback, as in multiprocessing
            self._pool = None
            self._done.set()

    def ready(self) -> bool:
        """Returns whether all calls have finished."""
        return self._done.is_set()

    def successful(self) -> bool:
        """Returns whether no call raised.

        Raises:
            ValueError: some calls have not finished.
        """
        if not self.ready():
            raise ValueError(f"{self!r} is not ready; call `wait` first.")
        return self._error() is None

    def wait(self, timeout: float | None = None) -> None:
        """Waits until all calls have finished, at most `timeout` seconds."""
        self._done.wait(timeout)

    def get(self, timeout: float | None = None) -> Any:
        """Returns the result, or the list of results in the order of the calls.

        Raises:
            multiprocessing.TimeoutError: some calls have not finished after `timeout` seconds.
            Exception: the exception of the first failed call, in the order of the calls.
        """
        if not self._done.wait(timeout):
            raise multiprocessing.TimeoutError
        if (error := self._error()) is not None:
            raise error
        return self._value()

    def set_result(self, index: int, answer: CallResult) -> None:
        """Takes what became of a call."""
        with self._lock:
            self._answers[index] = answer
            self._left -= 1
            if self._left:
                return
        self._end()

    def _end(self) -> None:
        self._pool = None
        error = self._error()
        try:
            if error is None and self._callback is not None:
                self._callback(self._value())
            if error is not None and self._error_callback is not None:
                self._error_callback(error)
        except BaseException as raised:  # nobody waits for it, and the pool's thread has to continue
            threading.excepthook(
                threading.ExceptHookArgs((type(raised), raised, raised.__traceback__, threading.current_thread()))
            )
        finally:
            self._done.set()

    def _value(self) -> Any:
        values = [answer[1] for answer in self._answers if answer is not None]
        return values[0] if self._single else values

    def _error(self) -> BaseException | None:
        return next((answer[1] for answer in self._answers if answer is not None and not answer[0]), None)


class ResultIterator:
    """An iterator over results, while later calls are still running.

    Args:
        start: starts calls, the first with the given number, and returns how many: 0 if there are no more.
        ahead: the number of calls that may start before the caller takes their results.
        ordered: whether results are in the order of the calls instead of completion.
    """

    def __init__(self, start: Callable[[ResultIterator, int], int], ahead: int, *, ordered: bool) -> None:
        self._start = start
        self._ahead = ahead
        self._ordered = ordered
        self._arrived: queue.Queue[tuple[int, CallResult]] = queue.Queue()
        self._early: dict[int, CallResult] = {}
        self._started = self._next = 0
        self._exhausted = False
        self._feeding = threading.RLock()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self.next()

    def next(self, timeout: float | None = None) -> Any:
        """Returns the next result.

        Raises:
            multiprocessing.TimeoutError: no result after `timeout` seconds.
            StopIteration: there are no more.
            Exception: the call's exception; later results can still be taken.
        """
        self.feed()
        if self._next == self._started:
            raise StopIteration
        returned, value = self._take(timeout)
        self._next += 1
        if not returned:
            raise value
        return value

    def feed(self, *, all_of_it: bool = False) -> None:
        """Starts calls until enough are running or, with `all_of_it`, there are no more.

        If the iterable raises or a call cannot be sent, that error is the last result.
        """
        with self._feeding:
            while not self._exhausted and (all_of_it or self._started - self._next < self._ahead):
                try:
                    n = self._start(self, self._started)
                except Exception as error:  # of the user's own iterable
                    self.set_result(self._started, (False, error))
                    self._started += 1
                    n = 0
                self._started += n
                self._exhausted = n == 0

    def set_result(self, index: int, answer: CallResult) -> None:
        """Takes what became of a call."""
        self._arrived.put((index, answer))

    def _take(self, timeout: float | None) -> CallResult:
        while self._next not in self._early:
            try:
                index, answer = self._arrived.get(timeout=timeout)
            except queue.Empty:
                raise multiprocessing.TimeoutError from None
            self._early[index if self._ordered else self._next] = answer
        return self._early.pop(self._next)
