"""Stops a study cleanly on Ctrl-C, SIGTERM or a closed terminal, and immediately on a second Ctrl-C."""

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
    """Yields an event that the first Ctrl-C, SIGTERM or SIGHUP sets; a second Ctrl-C or SIGTERM raises KeyboardInterrupt.

    A SIGHUP that the process ignores, as under `nohup`, stays ignored. Outside the main thread, where Python handles no
    signals, the event is never set.
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
        # A shell and the kernel may each send one, so a second SIGHUP must not raise KeyboardInterrupt.
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
