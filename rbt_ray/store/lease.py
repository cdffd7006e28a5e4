"""Which driver runs a study whose mirror several machines can reach: a file beside it that its owner keeps fresh.

Best effort, by the clocks of the machines: two that begin within one round trip can both believe to own it, until one
finds the other's name there at its next look and stops writing.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from rbt_ray.errors import JournalError, StudyLockedError
from rbt_ray.store.mirror import Mirror

_FILE = "owner.json"
_MOST_BYTES = 4096
_TEXTS, _NUMBERS = ("host", "machine", "token"), ("time", "stale_after_s")
_INTERVALS = 3
_SLACK_SECONDS = 5.0
_MOST_STALE_S = 30 * 86_400.0


class Lease:
    """This driver's claim on a study's mirror.

    Args:
        mirror: of the study.
        interval_s: how often `refresh` is going to be called.
    """

    def __init__(self, mirror: Mirror, interval_s: float) -> None:
        self._mirror = mirror
        self._me = {
            "host": socket.gethostname(),
            "machine": _machine(),
            "pid": os.getpid(),
            "token": secrets.token_hex(8),
            "stale_after_s": min(_INTERVALS * interval_s + _SLACK_SECONDS, _MOST_STALE_S),
        }

    def acquire(self) -> None:
        """Takes the study, also from an owner that died on this machine or was silent for three of its intervals.

        Raises:
            StudyLockedError: another driver runs it; the message names its process and host.
            SettingError: the mirror cannot be read or written.
            JournalError: what names the owner is damaged.
        """
        found = self._found()
        if (
            found is not None
            and (silent := time.time() - found["time"]) < found["stale_after_s"]
            and self._lives(found)
        ):
            raise StudyLockedError(
                f"the study in {self._mirror.display_name} is being run by process {found['pid']} on {found['host']}, heard of "
                f"{max(0.0, silent):.0f} s ago; wait for it, or end it. One that ended without a word is taken over "
                f"after {found['stale_after_s']:.0f} s."
            )
        self._write()

    def renew(self) -> None:
        """Says that this driver is still at it.

        Raises:
            StudyLockedError: another driver has taken the study over.
            SettingError: the mirror cannot be read or written.
            JournalError: what names the owner is damaged.
        """
        found = self._found()
        if found is not None and found["token"] != self._me["token"]:
            raise StudyLockedError(
                f"the study in {self._mirror.display_name} was taken over by process {found['pid']} on {found['host']}."
            )
        self._write()

    def release(self) -> None:
        """Lets the next driver in.

        Raises:
            SettingError: the mirror cannot be read or written.
            JournalError: what names the owner is damaged.
        """
        found = self._found()
        if found is not None and found["token"] == self._me["token"]:
            self._mirror.remove(_FILE)

    def _write(self) -> None:
        self._mirror.put(_FILE, json.dumps({**self._me, "time": time.time()}).encode())

    def _found(self) -> dict[str, Any] | None:
        """The owner there is; None where there is none."""
        content = self._mirror.get(_FILE, _MOST_BYTES)
        if content is None:
            return None
        try:
            found = json.loads(content)
            _check(found)
        except (ValueError, TypeError, LookupError, RecursionError):
            raise JournalError(
                f"{self._mirror.display_name} is damaged: {_FILE} is unreadable. If no driver is running the study, delete the file."
            ) from None
        return dict(found)

    def _lives(self, found: dict[str, Any]) -> bool:
        """Whether it may be alive: certainly not where its process is gone from this machine, or is this one."""
        if (found["host"], found["machine"]) != (self._me["host"], self._me["machine"]):
            return True
        return found["pid"] != self._me["pid"] and psutil.pid_exists(found["pid"])


def _check(found: dict[str, Any]) -> None:
    """Raises ValueError, TypeError or LookupError unless this is what an owner writes."""
    if not all(isinstance(found[name], str) and found[name].isprintable() for name in _TEXTS):
        raise ValueError("its texts are none")
    if not all(type(found[name]) in (int, float) and abs(found[name]) <= sys.float_info.max for name in _NUMBERS):
        raise ValueError("its times are none")
    if type(found["pid"]) is not int or not 0 < found["pid"] < 2**31:
        raise ValueError("its process is none")
    if not 0 < found["stale_after_s"] <= _MOST_STALE_S or found["time"] > time.time() + _MOST_STALE_S:
        raise ValueError("its times are out of range")


def _machine() -> str:
    """Tells apart machines, and containers, that go by one name: where process ids mean the same processes."""
    with suppress(OSError):  # Linux has these
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return f"{uuid.getnode():x}"
