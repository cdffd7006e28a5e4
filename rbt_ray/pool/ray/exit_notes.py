"""Records why an actor ends, and finds out why one has ended.

For most deaths, Ray only reports that a connection was closed. An actor that is about to end therefore writes a note to the
cluster's key-value store. If a signal ends an actor, Ray writes that into the actor's log, which the driver can read if both
are on one machine.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RuntimeEnvSetupError
from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_get, _internal_kv_put

from rbt_ray.pool.memory import memory_exceeded

_PREFIX = "rbt_ray/last_words/"
_LOOK_SECONDS = 0.2
_SEVERED = "connection error code 2. End of file"
_EXCEEDED = re.compile("OOM kill reason: (.*)")
_REPORTED = re.compile(r"\*\*\* (SIG[A-Z0-9]+) received")


def own_memory(process: psutil.Process | None = None) -> int:
    """Returns the bytes of memory that a process, by default this one, shares with no other; the object store is shared."""
    memory = (process or psutil.Process()).memory_info()
    return int(memory.rss - getattr(memory, "shared", 0))


def record_exit_code() -> None:
    """Makes this process, an actor, write a note if it ends by `os._exit`; processes that it forks do not."""
    leave, mine = os._exit, os.getpid()

    def leave_a_note(status: int) -> None:
        try:
            if os.getpid() == mine:
                _note(f"exited with code {status}")
        finally:
            leave(status)

    for module in (os, sys.modules[leave.__module__]):
        module._exit = leave_a_note  # type: ignore[attr-defined]


def enforce_memory_limit(memory_limit: int) -> None:
    """Makes this process, an actor, write a note and end once its own memory exceeds the limit."""
    threading.Thread(target=_watch, args=(memory_limit,), name="rbt-ray-memory", daemon=True).start()


def exit_reason(error: RayError, process: str | None) -> str:
    """Returns why an actor ended, in one line.

    Args:
        error: what Ray raised in place of an answer.
        process: Ray's id of the actor's process; None if it was never ready.
    """
    text = str(error).strip()
    if isinstance(error, OutOfMemoryError):
        found = _EXCEEDED.search(text)
        return "out of memory: Ray's memory monitor ended the worker" + (f" ({found[1]})" if found else "")
    last = text.splitlines()[-1]
    if isinstance(error, RuntimeEnvSetupError):
        return f"Ray cannot prepare `runtime_env` there: {last}"
    if _SEVERED not in last:
        detail = last.partition("Worker exit detail: ")[2] or last
        return detail.partition(" Some common causes")[0].rstrip(".")
    actor = error.actor_id if isinstance(error, RayActorError) else None
    return (
        _read_note(actor) or _reported_signal(process) or "its process ended without a word, as by signal 9 (SIGKILL)"
    )


def _note(text: str) -> None:
    _internal_kv_put(_PREFIX + ray.get_runtime_context().get_actor_id(), text, overwrite=True)


def _watch(limit: int) -> None:
    this = psutil.Process()  # created once, which costs more than reading the memory
    while (used := own_memory(this)) <= limit:
        time.sleep(_LOOK_SECONDS)
    _note(memory_exceeded(used, limit))
    os.kill(os.getpid(), signal.SIGKILL)


def _read_note(actor: str | None) -> str | None:
    if actor is None:
        return None
    with suppress(RayError):  # the store is on the head node, which may be lost too
        note: bytes | None = _internal_kv_get(_PREFIX + actor)
        if note is not None:
            _internal_kv_del(_PREFIX + actor)
            return note.decode()
    return None


def _reported_signal(process: str | None) -> str | None:
    node: Any = ray._private.worker._global_node  # None in a Ray client
    if process is None or node is None:
        return None
    for log in Path(node.get_logs_dir_path()).glob(f"worker-{process}-*.err"):
        found = _REPORTED.findall(log.read_text(errors="replace"))
        if found:
            number = int(signal.Signals[found[-1]])
            return f"killed by signal {number} ({found[-1]})"
    return None
