"""Sample: what one run took, and `fresh`, which takes one in a process of its own."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rbt_ray.bench.process_tree import ProcessTree
from rbt_ray.errors import BenchError

_TAIL = 2_000


@dataclass(frozen=True)
class Sample:
    """What one run took.

    Args:
        wall_s: seconds from its start to its end.
        cpu_s: processor time of its process tree.
        peak_rss: bytes, the sum over the tree at its highest; shared pages count in every process.
        peak_uss: bytes that single processes have for themselves, likewise.
        peak_pss: bytes with shared pages counted once, likewise (Linux; elsewhere as USS).
        result: what the run says of itself. ``"seconds"`` goes over the wall time, ``"digest"`` names its trial table.
    """

    wall_s: float
    cpu_s: float = 0.0
    peak_rss: int = 0
    peak_uss: int = 0
    peak_pss: int = 0
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> Any:
        """What is compared: the run's own timing where it gives one, as it gives it, else its wall time."""
        return self.result.get("seconds", self.wall_s)

    @property
    def digest(self) -> str | None:
        """Of its trial table; None where it gives none."""
        found = self.result.get("digest")
        return None if found is None else str(found)


def fresh(command: Sequence[str], *, cwd: str | Path | None = None, env: Mapping[str, str] | None = None) -> Sample:
    """One run of a command in a fresh process, its process tree watched.

    Args:
        command: the program and its arguments. The last line it prints is read as a JSON object where it is one.
        cwd: its folder; None: this one.
        env: variables that go over this process's.

    Raises:
        BenchError: it cannot be started, or ends with another code than 0; with the end of what it said on stderr.
    """
    shown = shlex.join(command)
    began = time.perf_counter()
    try:
        process = subprocess.Popen(
            list(command), cwd=cwd, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
        )  # fmt: skip
    except (OSError, ValueError) as error:
        raise BenchError(f"`{shown}` cannot be started: {error}.") from None
    tree = ProcessTree(process.pid)
    watcher = threading.Thread(target=tree.watch, daemon=True)
    watcher.start()
    try:
        out, said = process.communicate()
        wall_s = time.perf_counter() - began
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        tree.stop()
        watcher.join()
    if process.returncode:
        raise BenchError(f"`{shown}` ended with code {process.returncode}. Its last words:\n{said[-_TAIL:].strip()}")
    return Sample(wall_s, tree.cpu_s, tree.peak_rss, tree.peak_uss, tree.peak_pss, _last_object(out))


def _last_object(out: str) -> dict[str, Any]:
    lines = out.strip().splitlines()
    try:
        found = json.loads(lines[-1]) if lines else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
