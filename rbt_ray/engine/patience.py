"""What a study does while its journal cannot be written: it says so, waits, and goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable

from rbt_ray.errors import JournalBlockedError

_LOOK_SECONDS = 0.5


class Patience:
    """Decides whether a write that failed is tried again; workers finish what they hold meanwhile, and wait.

    Args:
        wait: waits up to so many seconds and says whether the study is to stop, as `threading.Event.wait` does.
        shown: the study's path, as people are shown it.
    """

    def __init__(self, wait: Callable[[float], bool], shown: str) -> None:
        self._wait = wait
        self._shown = shown

    def __call__(self, error: JournalBlockedError, tries: int) -> bool:
        """Whether to try again after `tries` earlier ones; stderr is told at the first."""
        if tries == 0:
            print(
                f"rbt-ray: the study pauses: {error.reason}. It goes on by itself when that is over; Ctrl-C stops it, and "
                f"`rbt-ray resume {self._shown}` goes on from what is recorded.",
                file=sys.stderr,
                flush=True,
            )
        return not self._wait(_LOOK_SECONDS)
