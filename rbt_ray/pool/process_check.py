"""ProcessCheck: detects damage to a worker process that the process itself cannot undo."""

from __future__ import annotations

import os
import sys
from os import fstat
from typing import Any

from rbt_ray.objectives.process_settings import limits


class ProcessCheck:
    """Records the state of the process when it is created."""

    def __init__(self) -> None:
        self._before = _state()
        self._streams = sys.stdout, sys.stderr

    def damage(self) -> str | None:
        """Returns what trials have changed in the process since; None if it is still usable. Takes a few microseconds."""
        for what, before, now in zip(_WHAT, self._before, _state(), strict=True):
            if before != now:
                return what
        if any(getattr(stream, "closed", False) for stream in self._streams):
            return "closed a standard stream"
        return None


_WHAT = (
    "closed or replaced stdout",
    "closed or replaced stderr",
    "changed the root folder",
    "changed the user",
    "lowered a limit",
)


def _state() -> tuple[Any, ...]:
    return _file(1), _file(2), _root(), _user(), _hard_limits()


def _file(descriptor: int) -> tuple[int, int] | None:
    try:
        found = fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _root() -> tuple[int, int]:
    found = os.stat("/")  # noqa: PTH116 - pathlib takes five times as long
    return found.st_dev, found.st_ino


def _user() -> Any:
    return os.getresuid() if hasattr(os, "getresuid") else None


def _hard_limits() -> list[int]:
    return [hard for _, hard in limits().values()]
