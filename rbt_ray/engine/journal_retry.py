"""Pauses a study while its journal cannot be written: prints the reason, waits, and retries."""

from __future__ import annotations

import sys
from collections.abc import Callable

from rbt_ray.errors import JournalBlockedError

_RETRY_SECONDS = 0.5
_FAULT_SECONDS = 60.0


class JournalRetry:
    """Decides whether to retry a failed write. Workers finish their batches in the meantime and then wait.

    Retries without a limit if the disk is full or another process holds the file, and for a minute if the disk reports
    errors.

    Args:
        wait: waits for a number of seconds and returns whether the study has to stop, as `Interrupt.wait` does.
        shown: the study's path or URI, for the message.
    """

    def __init__(self, wait: Callable[[float], bool], shown: str) -> None:
        self._wait = wait
        self._shown = shown

    def __call__(self, error: JournalBlockedError, tries: int) -> bool:
        """Returns whether to retry after `tries` earlier retries; prints the reason to stderr before the first."""
        if tries == 0:
            plan = (
                f"It retries for {_FAULT_SECONDS:g} s"
                if error.is_fault
                else "It continues by itself as soon as it can write"
            )
            print(
                f"rbt-ray: the study pauses: {error.reason}. {plan}; Ctrl-C stops it, and "
                f"`rbt-ray resume {self._shown}` continues from the recorded trials.",
                file=sys.stderr,
                flush=True,
            )
        if error.is_fault and tries * _RETRY_SECONDS >= _FAULT_SECONDS:
            return False
        return not self._wait(_RETRY_SECONDS)
