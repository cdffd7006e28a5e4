"""What a study does while its journal cannot be written: it reports the reason, waits, and tries again."""

from __future__ import annotations

import sys
from collections.abc import Callable

from rbt_ray.errors import JournalBlockedError

_LOOK_SECONDS = 0.5
_FAULT_SECONDS = 60.0


class JournalRetry:
    """Decides whether a write that failed is tried again, while workers finish what they hold and wait.

    A full disk and a file that another process holds are waited for without end, a disk that reports errors for a minute.

    Args:
        wait: waits up to so many seconds and says whether the study is to stop, as `threading.Event.wait` does.
        shown: the study's path, as people are shown it.
    """

    def __init__(self, wait: Callable[[float], bool], shown: str) -> None:
        self._wait = wait
        self._shown = shown

    def __call__(self, error: JournalBlockedError, tries: int) -> bool:
        """Whether to try again after `tries` earlier ones; prints the reason to stderr at the first."""
        if tries == 0:
            plan = (
                f"It tries again for {_FAULT_SECONDS:g} s"
                if error.is_fault
                else "It goes on by itself when that is over"
            )
            print(
                f"rbt-ray: the study pauses: {error.reason}. {plan}; Ctrl-C stops it, and "
                f"`rbt-ray resume {self._shown}` goes on from what is recorded.",
                file=sys.stderr,
                flush=True,
            )
        if error.is_fault and tries * _LOOK_SECONDS >= _FAULT_SECONDS:
            return False
        return not self._wait(_LOOK_SECONDS)
