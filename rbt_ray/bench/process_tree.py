"""ProcessTree: what a process and all that it started use, looked at again and again."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field
from typing import Any

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
