"""Sample: what one run took, and `fresh`, which takes one in a process of its own."""

from __future__ import annotations

import contextlib
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

from rbt_ray.errors import BenchError

INTERVAL_S = 0.02
_SHARE = 0.1  # of one core, at most, for looking


@dataclass
class ProcessTree:
    """Peaks of the memory of a process tree, and its processor time.

    Looks are 20 ms apart, or so long that looking takes at most a tenth of a core. What a process did after the last look
    at it is not seen. One whose parent ended is still looked at.

    Args:
        pid: of the process at its root.
    """

    pid: int
    peak_rss: int = 0
    """Bytes; a page that several processes share counts in each."""
    peak_uss: int = 0
    """Bytes that one process alone has, summed over the tree."""
    peak_pss: int = 0
    """Bytes, a shared page counted once (Linux; elsewhere the same as USS); more by pages that come to be shared during a look."""
    n_looks: int = 0
    _cpu: dict[tuple[int, float], float] = field(default_factory=dict)
    _known: set[Any] = field(default_factory=set)
    _over: threading.Event = field(default_factory=threading.Event)

    @property
    def cpu_s(self) -> float:
        """Processor time of all its processes until the last look, in seconds."""
        return sum(self._cpu.values())

    def watch(self) -> None:
        """Looks until `stop`."""
        while not self._over.is_set():
            began = time.perf_counter()
            self.look()
            self._over.wait(max(INTERVAL_S, (time.perf_counter() - began) * (1 / _SHARE - 1)))

    def stop(self) -> None:
        """Ends `watch`."""
        self._over.set()

    def look(self) -> None:
        """Looks once."""
        import psutil

        rss = uss = pss = 0
        self._find()
        for process in tuple(self._known):
            try:
                with process.oneshot():
                    memory, times = process.memory_full_info(), process.cpu_times()
                    key = (process.pid, process.create_time())
            except psutil.ZombieProcess:  # ended, and its parent has not asked
                continue
            except psutil.Error:
                self._known.discard(process)
                continue
            self._cpu[key] = times.user + times.system
            rss, uss, pss = rss + memory.rss, uss + memory.uss, pss + getattr(memory, "pss", memory.uss)
        self.peak_rss, self.peak_uss = max(self.peak_rss, rss), max(self.peak_uss, uss)
        self.peak_pss = max(self.peak_pss, pss)
        self.n_looks += 1

    def _find(self) -> None:
        """Adds what was started since: children of any process that is known."""
        import psutil

        with contextlib.suppress(psutil.Error):  # the root has ended; what it left behind may be alive
            self._known.add(psutil.Process(self.pid))
        reached: set[Any] = set()
        for process in tuple(self._known):
            if process in reached:
                continue
            try:
                reached.update(process.children(recursive=True))
            except psutil.Error:
                continue
        self._known |= reached


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
