"""Ctrl-C once stops a study cleanly; twice, at once. A terminal that is closed stops it cleanly too."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rbt_ray.engine.stop_conditions import Interrupt


@contextmanager
def interrupt_on_signals() -> Iterator[Interrupt]:
    """An event that the first Ctrl-C, SIGTERM or SIGHUP sets; a second Ctrl-C or SIGTERM raises KeyboardInterrupt.

    A SIGHUP that the process ignores, as under `nohup`, stays ignored. Outside the main thread Python lets nobody handle
    signals; there the event is never set.
    """
    event = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    def hang_up(_number: int, _frame: FrameType | None) -> None:
        # A shell and the kernel can each send one: the second does not mean more than the first.
        _replace_lost_terminal()
        event.discards_results = True
        event.set()

    handlers = {signal.SIGINT: stop, signal.SIGTERM: stop}
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        handlers[signal.SIGHUP] = hang_up
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _replace_lost_terminal() -> None:
    """Sends what is still printed to nowhere: a write to a terminal that is gone raises, which would end the study."""
    if sys.platform == "win32":
        return
    import termios

    for descriptor in (1, 2):
        try:
            termios.tcgetattr(descriptor)
        except termios.error as error:
            if error.args[0] == errno.EIO:
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, descriptor)
                os.close(nowhere)
