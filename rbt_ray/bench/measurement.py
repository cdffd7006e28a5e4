"""Sample: time and memory of one run; `fresh` measures a run in a new process."""

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
_SHARE = 0.1  # of one core, at most, for sampling


@dataclass
class ProcessTree:
    """Peak memory and processor time of a process tree.

    Samples are 20 ms apart, or more if sampling would take over a tenth of a core. Activity of a process after its last
    sample is not measured. Processes whose parent has ended are still sampled.

    Args:
        pid: the process ID of the root process.
    """

    pid: int
    peak_rss: int = 0
    """Bytes; shared pages count in each process."""
    peak_uss: int = 0
    """Private bytes, summed over the tree."""
    peak_pss: int = 0
    """Bytes with shared pages counted once (on Linux; elsewhere equal to USS)."""
    n_looks: int = 0
    _cpu: dict[tuple[int, float], float] = field(default_factory=dict)
    _known: set[Any] = field(default_factory=set)
    _over: threading.Event = field(default_factory=threading.Event)

    @property
    def cpu_s(self) -> float:
        """Processor time of all processes until the last sample, in seconds."""
        return sum(self._cpu.values())

    def watch(self) -> None:
        """Samples until `stop`."""
        while not self._over.is_set():
            began = time.perf_counter()
            self.look()
            self._over.wait(max(INTERVAL_S, (time.perf_counter() - began) * (1 / _SHARE - 1)))

    def stop(self) -> None:
        """Ends `watch`."""
        self._over.set()

    def look(self) -> None:
        """Takes one sample."""
        import psutil

        rss = uss = pss = 0
        self._find()
        for process in tuple(self._known):
            try:
                with process.oneshot():
                    memory, times = process.memory_full_info(), process.cpu_times()
                    key = (process.pid, process.create_time())
            except psutil.ZombieProcess:  # ended, but its parent has not waited for it
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
        """Adds new children of known processes."""
        import psutil

        with contextlib.suppress(psutil.Error):  # the root has ended; its children may be alive
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
    """Time and memory of one run.

    Args:
        wall_s: seconds from start to end.
        cpu_s: processor time of the process tree in seconds.
        peak_rss: peak of the sum over the tree in bytes; shared pages count in every process.
        peak_uss: private bytes, likewise.
        peak_pss: bytes with shared pages counted once, likewise (on Linux; elsewhere equal to USS).
        result: JSON object that the run printed. ``"seconds"`` replaces the wall time, ``"digest"`` identifies its results.
        not_run: the time was computed, and nothing was run.
    """

    wall_s: float
    cpu_s: float = 0.0
    peak_rss: int = 0
    peak_uss: int = 0
    peak_pss: int = 0
    result: Mapping[str, Any] = field(default_factory=dict)
    not_run: bool = False

    @property
    def computed(self) -> bool:
        """Whether the compared time was computed: nothing was run, or it is longer than the run."""
        return self.not_run or self.seconds > self.wall_s

    @property
    def seconds(self) -> Any:
        """The compared time: the timing that the run printed, unchecked, else its wall time."""
        return self.result.get("seconds", self.wall_s)

    @property
    def digest(self) -> str | None:
        """Digest of the trial table; None if the run printed none."""
        found = self.result.get("digest")
        return None if found is None else str(found)


def fresh(command: Sequence[str], *, cwd: str | Path | None = None, env: Mapping[str, str] | None = None) -> Sample:
    """Runs a command in a new process and measures its process tree.

    Args:
        command: program and arguments. If its last output line is a JSON object, that is the result.
        cwd: working directory; None: the current one.
        env: environment variables to set in addition.

    Raises:
        BenchError: it cannot be started, or ends with a code other than 0. The message has the end of its stderr.
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
        raise BenchError(
            f"`{shown}` ended with code {process.returncode}. The end of its stderr:\n{said[-_TAIL:].strip()}"
        )
    return Sample(wall_s, tree.cpu_s, tree.peak_rss, tree.peak_uss, tree.peak_pss, _last_object(out))


def _last_object(out: str) -> dict[str, Any]:
    lines = out.strip().splitlines()
    try:
        found = json.loads(lines[-1]) if lines else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
