"""Batches of function calls for worker processes, and the workers' main loop."""

from __future__ import annotations

import functools
import hashlib
import io
import pickle
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from os import _exit, getpid
from typing import Any, TypeAlias

from rbt_ray.errors import ObjectiveError, RbtError, WorkerDiedError
from rbt_ray.objectives import pickling
from rbt_ray.pool.frames import WorkerEnd
from rbt_ray.pool.job import pickle_main_by_value
from rbt_ray.pool.pool import Job, Returned
from rbt_ray.pool.process_setup import set_up_worker

Call: TypeAlias = tuple[Sequence[Any], Mapping[str, Any]]
"""The arguments of one call, by position and by name."""
CallResult: TypeAlias = tuple[bool, Any]
"""Whether a call returned, and its value or exception."""
_SentResult: TypeAlias = tuple[bool, Any, str]
"""The same as sent by a worker, with the traceback as text."""

_Globals: TypeAlias = tuple[dict[str, Any], dict[str, Any]]
"""A function's globals, and those that it set."""


class WorkerTraceback(Exception):  # noqa: N818 - the cause of an error
    """The traceback of an error in the worker."""


@dataclass(frozen=True, slots=True, eq=False)
class CallBatch:
    """Calls of one function, made in order.

    Args:
        number: an id, unique in a driver.
        job: the function; see `pack_function`.
        calls: their arguments.
        payload: the pickled arguments.
    """

    number: int
    job: Job
    calls: Sequence[Call]
    payload: bytes

    def __len__(self) -> int:
        return len(self.calls)

    def message(self) -> tuple[int, bytes]:
        """Returns the message for a worker that has the function."""
        return self.number, self.payload

    def accept(self, answer: Any) -> Any:
        """Accepts any result of the calls."""
        return answer


class Initializer:
    """A function that every process runs once before its first call.

    It is pickled when a process starts, or inherited by a fork, so that locks, queues and pipes can be passed to it.

    Args:
        function: the function; None: do nothing.
        args: its arguments.
    """

    def __init__(self, function: Callable[..., Any] | None, args: Sequence[Any]) -> None:
        self._function, self._args = function, args

    def __call__(self) -> _Globals:
        """Runs the function; returns its globals and those that it set."""
        if self._function is None:
            return {}, {}
        names = getattr(self._function, "__globals__", {})
        before = dict(names)
        self._function(*self._args)
        return names, {name: value for name, value in names.items() if before.get(name, names) is not value}

    def __reduce__(self) -> tuple[Any, ...]:
        file = io.BytesIO()
        try:
            # What only a starting process can inherit, such as locks.
            inherited = ForkingPickler(file).dispatch_table
            pickling.Pickler(file, reducers=inherited).dump((self._function, self._args))
        except Exception as error:  # pickling runs the objects' own code, which may raise anything
            raise ObjectiveError(
                f"`initializer` or `initargs` cannot be handed to a worker: {type(error).__name__}: {error} "
                f"Locks, queues and pipes are those of the pool's `context`: such as `multiprocessing.get_context()`."
            ) from error
        return functools.partial, (_initialize, file.getvalue())


def _initialize(payload: bytes) -> _Globals:
    """In the worker."""
    function, args = pickle.loads(payload)
    return Initializer(function, args)()


def pack_function(function: Callable[..., Any]) -> Job:
    """Packs a function as a job.

    Raises:
        ObjectiveError: the function cannot be pickled.
    """
    payload = pickle.dumps((sys.path, pack(function, "the function")))
    return Job(hashlib.sha256(payload).hexdigest(), payload)


def pack(thing: Any, what: str) -> bytes:
    """Pickles an object for another process.

    Raises:
        ObjectiveError: the object cannot be pickled.
    """
    pickle_main_by_value()
    try:
        packed: bytes = pickling.dumps(thing)
    except Exception as error:  # pickling runs the objects' own code, which may raise anything
        raise ObjectiveError(f"{what} cannot be sent to a worker: {type(error).__name__}: {error}.") from error
    return packed


def unpack_results(packed: bytes) -> list[CallResult]:
    """Unpickles a worker's results: one per call, or one error for all; errors have the worker's traceback as cause."""
    answers: list[CallResult] = []
    for returned, value, trace in pickle.loads(packed):
        if not returned:
            value.__cause__ = WorkerTraceback(f'\n"""\n{trace}"""')
        answers.append((returned, value))
    return answers


def serve_calls(
    initialize: Callable[[], _Globals], pipe: Connection, life: Connection, name: str, inherited: Sequence[Connection]
) -> None:
    """Runs the worker's main loop: handles jobs and calls until the driver exits; see `serve`."""
    for end in inherited:
        end.close()
    set_up_worker(life)
    caller, driver, mine = _CallRunner(initialize), WorkerEnd(pipe), getpid()
    try:
        driver.answer("ready")
        while True:
            message = driver.receive()
            if isinstance(message, Job):
                caller.load(message)
                driver.answer(None)
            else:
                number, payload = message
                answer = caller.run(payload)
                if getpid() != mine:  # a fork by the function, which returned here too
                    _exit(0)
                driver.answer(Returned(number, name, answer=answer))
    except (EOFError, OSError):
        return


class _CallRunner:
    """Runs calls in the worker; any failure becomes the result of the calls."""

    def __init__(self, initialize: Callable[[], _Globals]) -> None:
        self._initialize = initialize
        self._started = False
        self._broken: _SentResult | None = None
        self._globals: _Globals
        self._function: Callable[..., Any]

    def load(self, job: Job) -> None:
        paths, function = pickle.loads(job.payload)
        sys.path[:] = [*paths, *(path for path in sys.path if path not in paths)]
        self._broken = None
        try:
            if not self._started:
                self._globals = self._initialize()
                self._started = True
            self._function = self._with_globals(pickle.loads(function))
        except BaseException as error:
            self._broken = _failure(error)

    def _with_globals(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Sets the initializer's globals in a function of a script, which is pickled by value with globals of its own."""
        names, (initial, set_there) = getattr(function, "__globals__", {}), self._globals
        if names is not initial and names.get("__name__") == initial.get("__name__"):
            names.update(set_there)
        return function

    def run(self, payload: bytes) -> bytes:
        if self._broken is not None:
            return pickle.dumps([self._broken])
        try:
            calls = pickle.loads(payload)
        except BaseException as error:  # unpickling imports and runs the user's own modules
            return pickle.dumps([_failure(error)])
        answers = [self._answer(args, kwds) for args, kwds in calls]
        try:
            packed: bytes = pickling.dumps(answers)
        except Exception:  # one result cannot be pickled, and fails alone
            packed = pickling.dumps([_sendable(answer) for answer in answers])
        return packed

    def _answer(self, args: Sequence[Any], kwds: Mapping[str, Any]) -> _SentResult:
        try:
            return True, self._function(*args, **kwds), ""
        except BaseException as error:  # sys.exit in one call must not end the others
            return _failure(error)


def _failure(error: BaseException) -> _SentResult:
    """Converts an error to a result that can be unpickled, as not every exception can."""
    trace = "".join(traceback.format_exception(error)).rstrip()
    if not isinstance(error, Exception):  # raising it in the driver would end the driver
        return False, WorkerDiedError(f"the call ended by {type(error).__name__}: {error}"), trace
    try:
        pickle.loads(pickling.dumps(error))
    except Exception:
        return False, RbtError(f"the call raised {type(error).__name__}: {error}"), trace
    return False, error, trace


def _sendable(answer: _SentResult) -> _SentResult:
    try:
        pickling.dumps(answer)
    except Exception as error:
        return _failure(ObjectiveError(f"the call's result cannot be sent back: {type(error).__name__}: {error}."))
    return answer
