"""When to stop a run before the search is complete, and the signals that do so."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Literal, TypeAlias

from rbt_ray.engine.progress import Progress

StopReason: TypeAlias = Literal["interrupted", "max_failures", "identical_failures", "time_budget"]
"""Why a run stops before its search is complete."""

_POLL_SECONDS = 0.05


class Interrupt:
    """A flag that stops a study when it is set.

    Signal handlers set it, and one may run within another. Unlike `threading.Event`, the flag has no lock, which the inner
    handler would wait for without end.

    `discards_results` is True after the terminal was closed: an objective that prints fails from then on, so later results
    must not be recorded.
    """

    def __init__(self) -> None:
        self.discards_results = False
        self._is_set = False

    def is_set(self) -> bool:
        """Returns whether the study has to stop."""
        return self._is_set

    def set(self) -> None:
        """Stops the study."""
        self._is_set = True

    def wait(self, seconds: float) -> bool:
        """Returns whether the study has to stop, at the latest after some seconds."""
        deadline = time.monotonic() + seconds
        while not self._is_set and (left := deadline - time.monotonic()) > 0.0:
            time.sleep(min(left, _POLL_SECONDS))
        return self._is_set


@dataclass(frozen=True, slots=True)
class StopConditions:
    """The conditions that stop a run early. The study can be resumed.

    Args:
        time_budget_s: seconds that this run may take; None: no limit.
        max_failures: the number of trials that may fail; None: no limit.
        interrupt: set by Ctrl-C, for example.
        on_identical_failures: whether to stop if every trial fails with the same error at the same line.
    """

    time_budget_s: float | None
    max_failures: int | None
    interrupt: Interrupt
    on_identical_failures: bool = False

    @property
    def discards_results(self) -> bool:
        """Whether results that arrive now are discarded; their trials run again when the study is resumed."""
        return self.interrupt.discards_results

    def reason(self, progress: Progress) -> StopReason | None:
        """Returns why to stop now; None to continue."""
        if self.interrupt.is_set():
            return "interrupted"
        if self.max_failures is not None and progress.n_failed > self.max_failures:
            return "max_failures"
        if self.time_budget_s is not None and progress.wall_s >= self.time_budget_s:
            return "time_budget"
        return None


@contextmanager
def interrupt_on_signals() -> Iterator[Interrupt]:
    """Yields a flag that the first Ctrl-C, SIGTERM or SIGHUP sets; a second Ctrl-C or SIGTERM raises KeyboardInterrupt.

    A SIGHUP that the process ignores, as under `nohup`, stays ignored. Outside the main thread, where Python handles no
    signals, the flag is never set.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        if interrupt.is_set():
            raise KeyboardInterrupt
        interrupt.set()

    def hang_up(_number: int, _frame: FrameType | None) -> None:
        # A shell and the kernel may each send one, so a second SIGHUP must not raise KeyboardInterrupt.
        _replace_lost_terminal()
        interrupt.discards_results = True
        interrupt.set()

    handlers = {signal.SIGINT: stop, signal.SIGTERM: stop}
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        handlers[signal.SIGHUP] = hang_up
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _replace_lost_terminal() -> None:
    """Redirects output to the null device: a write to a closed terminal raises, which would end the study."""
    if sys.platform == "win32":
        return
    import termios

    for descriptor in (1, 2):
        try:
            termios.tcgetattr(descriptor)
        except termios.error as error:
            if error.args[0] == errno.EIO:
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, descriptor)
                os.close(null)
