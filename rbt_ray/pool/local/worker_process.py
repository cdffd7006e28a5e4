"""WorkerProcess: the driver's side of one worker process and its pipes."""

from __future__ import annotations

import multiprocessing.connection
import multiprocessing.spawn
import os
import signal
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any

import psutil

from rbt_ray.pool.driver_state import DriverState, run_in_state
from rbt_ray.pool.frames import READY, FrameReader
from rbt_ray.pool.local.main_loop import serve
from rbt_ray.pool.local.start_method import WORKER

_starting = threading.Lock()
_living: weakref.WeakSet[WorkerProcess] = weakref.WeakSet()


@contextmanager
def _without_main() -> Iterator[None]:
    """Keeps workers that are started within from running the user's script again: they get what they need with the job.

    multiprocessing has no setting for that. Workers do not learn the driver's start method either if only another library
    provides it, as joblib does. Processes of other code that start at the same time are not affected.
    """
    original = multiprocessing.spawn.get_preparation_data

    def without_main(name: str) -> dict[str, Any]:
        data = original(name)
        if name.startswith(WORKER):
            data.pop("init_main_from_name", None)
            data.pop("init_main_from_path", None)
            if data.get("start_method") not in multiprocessing.get_all_start_methods():
                data.pop("start_method", None)
        return data

    multiprocessing.spawn.get_preparation_data = without_main
    try:
        yield
    finally:
        multiprocessing.spawn.get_preparation_data = original


class WorkerProcess:
    """A process that runs a main loop, with the driver's ends of its pipes.

    Args:
        context: starts the process.
        name: the name of the worker.
        main: the main loop, a function of a module with the parameters of `serve`.

    Raises:
        OSError: the process cannot be started, such as when the working directory or free memory is gone.
        EOFError: the fork server has died; the next attempt starts another one.
    """

    def __init__(self, context: BaseContext, name: str, main: Callable[..., None] = serve) -> None:
        with _starting:  # a process that another thread forks now would inherit ends that it does not know of
            self._pipe, theirs = context.Pipe()
            life_end, self._life = context.Pipe(duplex=False)
            forked = context.get_start_method() == "fork"
            inherited = [end for other in [*_living, self] for end in other._ends()] if forked else []
            make: Any = context
            self._process: BaseProcess = make.Process(
                target=run_in_state,
                args=(DriverState.here(), main, theirs, life_end, name, inherited),
                name=f"{WORKER}-{name}",
                daemon=True,
            )
            with _without_main():
                self._process.start()
            _living.add(self)
        self._tag = READY
        theirs.close()
        life_end.close()

    @property
    def pid(self) -> int | None:
        """The process id; None once the process has ended."""
        return self._process.pid if self._process.is_alive() else None

    def resident(self) -> int:
        """Returns the bytes of resident memory without pages of files, such as the bundle's; 0 once the process has ended."""
        try:
            memory = psutil.Process(self._process.pid).memory_info()
            return int(memory.rss - getattr(memory, "shared", 0))
        except psutil.Error:
            return 0

    def send(self, message: Any) -> None:
        """Sends a message; raises OSError if the process has ended."""
        self._tag = os.urandom(len(READY))
        self._pipe.send((self._tag, message))

    def receive(self, timeout: float | None = None) -> Any:
        """Returns the answer to the last message.

        Raises:
            AnswerError: the pipe holds something else.
            EOFError, OSError: the worker ended, or did not answer within `timeout` seconds.
        """
        frame = FrameReader(self._tag)
        while True:
            ready = multiprocessing.connection.wait([self._pipe, self._process.sentinel], timeout)
            # A process that the dead worker started may hold the other end of the pipe, which then gives no EOF.
            if self._pipe not in ready and not self._pipe.poll():
                raise EOFError
            if frame.read_from(self._pipe):
                return frame.answer()

    def has_message_or_ended(self, timeout: float | None) -> bool:
        """Waits for a message or the end of the process; returns False after `timeout` seconds."""
        return bool(multiprocessing.connection.wait([self._pipe, self._process.sentinel], timeout))

    def kill(self) -> None:
        """Kills the process and those it started."""
        self._kill_group()
        self._process.kill()

    def end(self) -> str:
        """Closes the pipes, which ends the process, kills it after a second, and returns how it ended."""
        _living.discard(self)
        for end in self._ends():
            end.close()
        self._process.join(timeout=1)
        self._kill_group()
        if self._process.is_alive():
            self._process.kill()
            self._process.join(timeout=10)
        code = self._process.exitcode
        if code is None:
            return "lost contact"
        return f"killed by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exited with code {code}"

    def _kill_group(self) -> None:
        """Kills what the objective started, except processes with a session of their own."""
        if hasattr(os, "killpg") and self._process.pid is not None:
            with suppress(ProcessLookupError, PermissionError):  # the group is empty, or not made yet
                os.killpg(self._process.pid, signal.SIGKILL)

    def _ends(self) -> tuple[Connection, Connection]:
        return self._pipe, self._life


def _close_inherited() -> None:
    """Closes the driver's ends of pipes in a forked child, which would otherwise keep workers alive after their driver."""
    global _starting
    _starting = threading.Lock()
    for process in list(_living):
        for end in process._ends():
            end.close()
    _living.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)
