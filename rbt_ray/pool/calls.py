"""Calls of any function as a courier's cargo, and the main loop of the workers that make them."""

from __future__ import annotations

import hashlib
import pickle
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

import cloudpickle

from rbt_ray.errors import ObjectiveError, RbtError, WorkerDiedError
from rbt_ray.pool.pool import Job, Returned
from rbt_ray.pool.settle import settle

Call: TypeAlias = tuple[Sequence[Any], Mapping[str, Any]]
"""The arguments of one call, by position and by name."""
Answer: TypeAlias = tuple[bool, Any]
"""Whether a call returned, and what it returned or raised."""
_Sent: TypeAlias = tuple[bool, Any, str]
"""The same on its way, with the traceback as text."""


class WorkerTraceback(Exception):  # noqa: N818 - it is the cause of an error, and none itself
    """What the traceback of an error was in the worker."""


@dataclass(frozen=True, slots=True, eq=False)
class Calls:
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


def pack_function(function: Callable[..., Any], initializer: Callable[..., Any] | None, initargs: Sequence[Any]) -> Job:
    """A function as a job, with what every process runs once before its first call.

    Raises:
        ObjectiveError: one of them cannot be sent to another process.
    """
    parts = [packed((initializer, tuple(initargs)), "`initializer`"), packed(function, "the function")]
    payload = pickle.dumps((sys.path, *parts))
    return Job(hashlib.sha256(payload).hexdigest(), payload)


def packed(thing: Any, what: str) -> bytes:
    """Bytes from which another process makes the same.

    Raises:
        ObjectiveError: that cannot be done.
    """
    try:
        packed: bytes = cloudpickle.dumps(thing)
    except Exception as error:  # pickling runs the objects' own code, which may raise anything
        raise ObjectiveError(f"{what} cannot be sent to a worker: {type(error).__name__}: {error}.") from error
    return packed


def answers_in(packed: bytes) -> list[Answer]:
    """What a worker sent, errors with its traceback as their cause: an answer a call, or one error for all of them."""
    answers: list[Answer] = []
    for returned, value, told in pickle.loads(packed):
        if not returned:
            value.__cause__ = WorkerTraceback(f'\n"""\n{told}"""')
        answers.append((returned, value))
    return answers


def serve_calls(pipe: Connection, life: Connection, name: str, inherited: Sequence[Connection]) -> None:
    """The main loop: takes jobs and calls until the driver is gone; see `serve`."""
    for end in inherited:
        end.close()
    settle(life)
    caller = _Caller()
    try:
        pipe.send("ready")
        while True:
            message = pipe.recv()
            if isinstance(message, Job):
                caller.load(message)
                pipe.send(None)
            else:
                number, payload = message
                pipe.send(Returned(number, name, answer=caller.run(payload)))
    except (EOFError, OSError):
        return


class _Caller:
    """The worker's side: whatever fails, fails in the calls, which somebody waits for."""

    def __init__(self) -> None:
        self._begun = False
        self._broken: _Sent | None = None
        self._function: Callable[..., Any]

    def load(self, job: Job) -> None:
        paths, begin, function = pickle.loads(job.payload)
        sys.path[:] = [*paths, *(path for path in sys.path if path not in paths)]
        self._broken = None
        try:
            if not self._begun:
                initializer, initargs = pickle.loads(begin)
                if initializer is not None:
                    initializer(*initargs)
                self._begun = True
            self._function = pickle.loads(function)
        except BaseException as error:
            self._broken = _failure(error)

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

    def _answer(self, args: Sequence[Any], kwds: Mapping[str, Any]) -> _Sent:
        try:
            return True, self._function(*args, **kwds), ""
        except BaseException as error:  # a call that ends by sys.exit must not take the others with it
            return _failure(error)


def _failure(error: BaseException) -> _Sent:
    """The error as something that arrives: not every exception can be made again from its pickle."""
    told = "".join(traceback.format_exception(error)).rstrip()
    if not isinstance(error, Exception):  # raised again in the driver it would end that
        return False, WorkerDiedError(f"the call ended by {type(error).__name__}: {error}"), told
    try:
        pickle.loads(cloudpickle.dumps(error))
    except Exception:
        return False, RbtError(f"the call raised {type(error).__name__}: {error}"), told
    return False, error, told


def _sendable(answer: _Sent) -> _Sent:
    try:
        cloudpickle.dumps(answer)
    except Exception as error:
        return _failure(ObjectiveError(f"what the call returned cannot be sent back: {type(error).__name__}: {error}."))
    return answer
