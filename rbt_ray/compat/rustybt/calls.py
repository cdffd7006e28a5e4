"""CallBatch of any function as a worker's cargo, and the main loop of the workers that make them."""

from __future__ import annotations

import functools
import hashlib
import io
import pickle
import sys
import traceback
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from os import _exit, getpid
from typing import Any, TypeAlias

import cloudpickle

from rbt_ray.errors import ObjectiveError, RbtError, WorkerDiedError
from rbt_ray.pool.frames import WorkerEnd
from rbt_ray.pool.main_module import pickle_main_by_value
from rbt_ray.pool.pool import Job, Returned
from rbt_ray.pool.process_setup import settle

Call: TypeAlias = tuple[Sequence[Any], Mapping[str, Any]]
"""The arguments of one call, by position and by name."""
CallResult: TypeAlias = tuple[bool, Any]
"""Whether a call returned, and what it returned or raised."""
_SentResult: TypeAlias = tuple[bool, Any, str]
"""The same on its way, with the traceback as text."""

_Globals: TypeAlias = tuple[dict[str, Any], dict[str, Any]]
"""All of a function, and those that it set."""


class WorkerTraceback(Exception):  # noqa: N818 - it is the cause of an error, and none itself
    """What the traceback of an error was in the worker."""


@dataclass(frozen=True, slots=True, eq=False)
class CallBatch:
    """Some calls of one function, made one after the other.

    Args:
        number: unique in a driver.
        job: the function; see `pack_function`.
        calls: their arguments.
        payload: the same, packed.
    """

    number: int
    job: Job
    calls: Sequence[Call]
    payload: bytes

    def __len__(self) -> int:
        return len(self.calls)

    def message(self) -> tuple[int, bytes]:
        """What a worker that has the function needs."""
        return self.number, self.payload

    def accept(self, answer: Any) -> Any:
        """What the calls returned, which only their caller can judge."""
        return answer


class Initializer:
    """What every process runs once before its first call.

    It is pickled as a process starts, and never where that is forked: only so can locks, queues and pipes be handed over.

    Args:
        function: of no arguments but `args`; None: nothing.
        args: its arguments.
    """

    def __init__(self, function: Callable[..., Any] | None, args: Sequence[Any]) -> None:
        self._function, self._args = function, args

    def __call__(self) -> _Globals:
        """Runs it, and gives its globals and those of them that it set."""
        if self._function is None:
            return {}, {}
        names = getattr(self._function, "__globals__", {})
        before = dict(names)
        self._function(*self._args)
        return names, {name: value for name, value in names.items() if before.get(name, names) is not value}

    def __reduce__(self) -> tuple[Any, ...]:
        file = io.BytesIO()
        try:
            _StartPickler(file).dump((self._function, self._args))
        except Exception as error:  # pickling runs the objects' own code, which may raise anything
            raise ObjectiveError(
                f"`initializer` or `initargs` cannot be handed to a worker: {type(error).__name__}: {error} "
                f"Locks, queues and pipes are those of the pool's `context`: such as `multiprocessing.get_context()`."
            ) from error
        return functools.partial, (_initialize, file.getvalue())


class _StartPickler(cloudpickle.Pickler):  # type: ignore[misc]  # it has no types
    """Packs lambdas and what a script defines, and what only a process that starts can be given."""

    def __init__(self, file: io.BytesIO) -> None:
        self.dispatch_table = ChainMap(cloudpickle.Pickler.dispatch_table, ForkingPickler(file).dispatch_table)
        super().__init__(file)


def _initialize(payload: bytes) -> _Globals:
    """In the worker."""
    function, args = pickle.loads(payload)
    return Initializer(function, args)()


def pack_function(function: Callable[..., Any]) -> Job:
    """A function as a job.

    Raises:
        ObjectiveError: it cannot be sent to another process.
    """
    payload = pickle.dumps((sys.path, pack(function, "the function")))
    return Job(hashlib.sha256(payload).hexdigest(), payload)


def pack(thing: Any, what: str) -> bytes:
    """Bytes from which another process makes the same.

    Raises:
        ObjectiveError: that cannot be done.
    """
    pickle_main_by_value()
    try:
        packed: bytes = cloudpickle.dumps(thing)
    except Exception as error:  # pickling runs the objects' own code, which may raise anything
        raise ObjectiveError(f"{what} cannot be sent to a worker: {type(error).__name__}: {error}.") from error
    return packed


def unpack_results(packed: bytes) -> list[CallResult]:
    """What a worker sent, errors with its traceback as their cause: an answer a call, or one error for all of them."""
    answers: list[CallResult] = []
    for returned, value, told in pickle.loads(packed):
        if not returned:
            value.__cause__ = WorkerTraceback(f'\n"""\n{told}"""')
        answers.append((returned, value))
    return answers


def serve_calls(
    initialize: Callable[[], _Globals], pipe: Connection, life: Connection, name: str, inherited: Sequence[Connection]
) -> None:
    """The main loop: takes jobs and calls until the driver is gone; see `serve`."""
    for end in inherited:
        end.close()
    settle(life)
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
                if getpid() != mine:  # a process that the function forked, and that returned from it too
                    _exit(0)
                driver.answer(Returned(number, name, answer=answer))
    except (EOFError, OSError):
        return


class _CallRunner:
    """The worker's side: whatever fails, fails in the calls, which somebody waits for."""

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
        """What the initializer set in a script: functions of that come by value, each with globals of its own."""
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
            packed: bytes = cloudpickle.dumps(answers)
        except Exception:  # one of them cannot be packed, and fails alone
            packed = cloudpickle.dumps([_sendable(answer) for answer in answers])
        return packed

    def _answer(self, args: Sequence[Any], kwds: Mapping[str, Any]) -> _SentResult:
        try:
            return True, self._function(*args, **kwds), ""
        except BaseException as error:  # a call that ends by sys.exit must not take the others with it
            return _failure(error)


def _failure(error: BaseException) -> _SentResult:
    """The error as something that arrives: not every exception can be made again from its pickle."""
    told = "".join(traceback.format_exception(error)).rstrip()
    if not isinstance(error, Exception):  # raised again in the driver it would end that
        return False, WorkerDiedError(f"the call ended by {type(error).__name__}: {error}"), told
    try:
        pickle.loads(cloudpickle.dumps(error))
    except Exception:
        return False, RbtError(f"the call raised {type(error).__name__}: {error}"), told
    return False, error, told


def _sendable(answer: _SentResult) -> _SentResult:
    try:
        cloudpickle.dumps(answer)
    except Exception as error:
        return _failure(ObjectiveError(f"what the call returned cannot be sent back: {type(error).__name__}: {error}."))
    return answer
