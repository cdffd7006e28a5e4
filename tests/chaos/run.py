"""Studies with faults at random moments, all drawn from a seed that is printed."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.chaos.driver import KINDS
from tests.chaos.faults import Fault, faults_for, may_fail
from tests.chaos.study import ChaosError, Study

_DISK_BYTES = 8 * 2**20
_SHM_BYTES = 2**30
_TARGET_S = 10


@dataclass
class Tally:
    """The counts of faults and studies.

    Args:
        faults: the number of injected faults, by backend and name.
        studies: the number of studies that passed all checks, by backend and kind.
        failed: the messages of failed checks.
        drivers: the number of drivers.
        wall_s: the total time.
    """

    faults: Counter[str] = field(default_factory=Counter)
    studies: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    drivers: int = 0
    wall_s: float = 0.0


class Chaos:
    """Runs studies with faults, and one of each kind without faults for comparison.

    Args:
        folder: where they go.
        root: whether small disks can be mounted, to fill them.
    """

    def __init__(self, folder: Path, *, root: bool) -> None:
        self._folder = folder
        self._root = root
        self._undisturbed: dict[tuple[str, str], dict[str, Any]] = {}
        self.tally = Tally()

    def study(self, seed: int, backend: str, n_faults: int | None = None) -> None:
        """One study with its faults; the same seed draws the same kind, faults and moments.

        Args:
            seed: determines everything random.
            backend: "local" or "ray".
            n_faults: how many; None: 4 to 9.

        Raises:
            ChaosError: a check failed; the message says which, and how to reproduce it.
        """
        began = time.monotonic()
        rng = np.random.default_rng(seed)
        kind = str(rng.choice(list(KINDS)))
        small_disk = self._root and rng.random() < 0.4
        known = faults_for(backend, small_disk=small_disk)
        weights = np.array(list(known.values()))
        drawn = rng.choice(len(known), n_faults or int(rng.integers(4, 10)), p=weights / weights.sum())
        faults = [list(known)[at] for at in drawn]
        undisturbed = self._without_faults(kind, backend)
        folder = self._folder / f"{backend}-{seed}"
        with small_disks(folder, small_disk=small_disk, own_shm=self._root) as storage:
            study = Study(folder, storage, kind, backend, own_shm=self._root)
            done: list[str] = []
            try:
                for fault in faults:
                    if self._inject(study, fault, rng, done):
                        self.tally.faults[f"{backend} {fault.__name__}"] += 1
                study.hurry()
                study.check(study.finish(may_fail(done)), undisturbed)
            except ChaosError as error:
                again = f"python -m tests.chaos run --seed {seed} --backend {backend}"
                raise ChaosError(f"{error}\nkind {kind}, faults {done}; run it again by `{again}`") from error
            finally:
                study.end()
        self.tally.studies[f"{backend} {kind}"] += 1
        self.tally.drivers += study.n_drivers
        self.tally.wall_s += time.monotonic() - began

    def _inject(self, study: Study, fault: Fault, rng: np.random.Generator, done: list[str]) -> bool:
        """Injects the fault at a random moment of a running driver. Returns whether it found a target."""
        if study.driver is not None and not study.running:
            code = study.driver.returncode
            if code == 0:
                return False
            study.check_end(code, may_fail(done))
            study.driver = None
        if study.driver is None:
            study.start()
        time.sleep(rng.uniform(0.02, 0.7))
        done.append(fault.__name__)
        end = time.monotonic() + _TARGET_S
        while study.running and time.monotonic() < end:
            if fault(study, rng):
                return True
            time.sleep(0.05)
        done.pop()
        return False

    def _without_faults(self, kind: str, backend: str) -> dict[str, Any]:
        if (kind, backend) not in self._undisturbed:
            folder = self._folder / f"undisturbed-{kind}-{backend}"
            with small_disks(folder, small_disk=False, own_shm=self._root) as storage:
                study = Study(folder, storage, kind, backend, own_shm=self._root)
                study.hurry()
                try:
                    answer = study.finish(lambda _code, _said: False)
                    study.check(answer, answer)
                finally:
                    study.end()
            if backend != "local" and answer["hash"] != self._without_faults(kind, "local")["hash"]:
                raise ChaosError(f"{kind}: the backends disagree")
            self._undisturbed[kind, backend] = answer
        return self._undisturbed[kind, backend]


@contextmanager
def small_disks(folder: Path, *, small_disk: bool, own_shm: bool) -> Iterator[Path]:
    """Yields the folder for a study's journal, or a mounted disk of a few megabytes."""
    storage = folder / "storage"
    storage.mkdir(parents=True, exist_ok=True)
    disks = {storage: _DISK_BYTES} if small_disk else {}
    if own_shm:
        disks[folder / "shm"] = _SHM_BYTES
    for path, size in disks.items():
        path.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=1777", "none", path], check=True)
    try:
        yield storage
    finally:
        for path in disks:
            subprocess.run(["umount", "--lazy", path], check=True)
