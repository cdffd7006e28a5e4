"""One worker process, as its driver holds it: started, spoken to, killed, and asked how it ended."""

from __future__ import annotations

import multiprocessing.connection
import multiprocessing.spawn
import os
import signal
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
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
_spawn_preparation = multiprocessing.spawn.get_preparation_data


def _preparation_without_main(name: str) -> dict[str, Any]:
    """Keeps workers from running the user's script again: what they need of it comes with the objective.

    A start method that only its own library knows, as in a worker of joblib, is left out as well.
    """
    data = _spawn_preparation(name)
    if name.startswith(WORKER):
        data.pop("init_main_from_name", None)
        data.pop("init_main_from_path", None)
        if data.get("start_method") not in multiprocessing.get_all_start_methods():
            data.pop("start_method", None)
    return data


multiprocessing.spawn.get_preparation_data = _preparation_without_main


class WorkerProcess:
    """A process that runs a main loop, with the driver's ends of its pipes.

    Args:
        context: how processes are started.
        name: the worker's.
        main: its main loop, a function of a module; it takes what `serve` does.

    Raises:
        OSError: it cannot be launched, as when the working directory is gone or no memory is left.
        EOFError: the fork server has died; the next attempt starts another.
    """

    def __init__(self, context: BaseContext, name: str, main: Callable[..., None] = serve) -> None:
        with _starting:  # a process forked meanwhile would inherit ends that nobody knows of
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
            self._process.start()
            _living.add(self)
        self._tag = READY
        theirs.close()
        life_end.close()

    @property
    def pid(self) -> int | None:
        """Its process id, None once it has ended."""
        return self._process.pid if self._process.is_alive() else None

    def resident(self) -> int:
        """Bytes of resident memory without pages of files, such as the bundle's; 0 once it has ended."""
        try:
            memory = psutil.Process(self._process.pid).memory_info()
            return int(memory.rss - getattr(memory, "shared", 0))
        except psutil.Error:
            return 0

    def send(self, message: Any) -> None:
        """Sends a message; OSError where nobody is there to take it."""
        self._tag = os.urandom(len(READY))
        self._pipe.send((self._tag, message))

    def receive(self, timeout: float | None = None) -> Any:
        """The answer to the last message.

        Raises:
            AnswerError: something else is on the pipe.
            EOFError, OSError: the worker ended, or did not answer within `timeout` seconds.
        """
        frame = FrameReader(self._tag)
        while True:
            ready = multiprocessing.connection.wait([self._pipe, self._process.sentinel], timeout)
            # A process that the dead worker started may hold the other end of the pipe: no EOF comes.
            if self._pipe not in ready and not self._pipe.poll():
                raise EOFError
            if frame.read_from(self._pipe):
                return frame.answer()

    def has_message_or_ended(self, timeout: float | None) -> bool:
        """Waits for a message or for its end; False after `timeout` seconds."""
        return bool(multiprocessing.connection.wait([self._pipe, self._process.sentinel], timeout))

    def kill(self) -> None:
        """Ends it at once, and what it started."""
        self._kill_group()
        self._process.kill()

    def end(self) -> str:
        """Closes the pipes, at which it ends, kills it if it does not, and says how it ended."""
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
        """Ends what the objective started, unless that has made itself a session of its own."""
        if hasattr(os, "killpg") and self._process.pid is not None:
            with suppress(ProcessLookupError, PermissionError):  # nobody is left; or it has not yet become a group
                os.killpg(self._process.pid, signal.SIGKILL)

    def _ends(self) -> tuple[Connection, Connection]:
        return self._pipe, self._life


def _close_inherited() -> None:
    """In a forked child: workers end with their driver only if nobody else keeps the ends of their pipes open."""
    global _starting
    _starting = threading.Lock()
    for process in list(_living):
        for end in process._ends():
            end.close()
    _living.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)
