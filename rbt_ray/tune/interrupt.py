"""Ctrl-C once stops a study cleanly; twice, at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def clean_interrupt() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C (or a SIGTERM) sets; a second Ctrl-C raises KeyboardInterrupt as ever.

    Outside the main thread Python lets nobody handle signals; there the event is never set.
    """
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
