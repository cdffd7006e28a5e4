"""Faults to inject into a study. Each function returns whether it found a target."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from rbt_ray.store.flusher import FlushMarker
from tests.chaos.study import ChaosError, Study

Fault = Callable[[Study, np.random.Generator], bool]

_HOLDER = """
import sqlite3, sys, time
holder = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
holder.execute("BEGIN IMMEDIATE")
time.sleep(float(sys.argv[2]))
"""


def kill_worker(study: Study, rng: np.random.Generator) -> bool:
    """Kill -9 of a worker."""
    return _signal(study.workers(), rng, signal.SIGKILL)


def kill_all_workers(study: Study, rng: np.random.Generator) -> bool:
    """Kill -9 of all workers at once."""
    workers = study.workers()
    for worker in workers:
        _send(worker, signal.SIGKILL)
    return bool(workers)


def stop_worker(study: Study, rng: np.random.Generator) -> bool:
    """SIGSTOP of a worker, SIGCONT up to half a second later."""
    return _pause(study.workers(), rng)


def kill_stopped_worker(study: Study, rng: np.random.Generator) -> bool:
    """Kill -9 of a worker that is stopped by SIGSTOP."""
    workers = study.workers()
    if not workers:
        return False
    worker = workers[rng.integers(len(workers))]
    _send(worker, signal.SIGSTOP)
    time.sleep(rng.uniform(0, 0.2))
    _send(worker, signal.SIGKILL)
    return True


def kill_fork_server(study: Study, rng: np.random.Generator) -> bool:
    """Kill -9 of the fork server, while its workers keep running."""
    study.fork_server_was_killed |= _signal(study.fork_servers(), rng, signal.SIGKILL)
    return study.fork_server_was_killed


def stop_driver(study: Study, rng: np.random.Generator) -> bool:
    """SIGSTOP of the driver, SIGCONT up to half a second later."""
    return study.running and _pause([psutil.Process(study.pid())], rng)


def kill_driver(study: Study, rng: np.random.Generator) -> bool:
    """Kill -9 of the driver."""
    if not study.running:
        return False
    os.kill(study.pid(), signal.SIGKILL)
    return _gone(study)


def kill_everything(study: Study, rng: np.random.Generator) -> bool:
    """Kill -9 of the driver and all its processes at once, as when a container is killed."""
    if not study.running:
        return False
    study.fork_server_was_killed = True
    for process in study.processes():
        _send(process, signal.SIGKILL)
    return _gone(study)


def interrupt_driver(study: Study, rng: np.random.Generator) -> bool:
    """Ctrl-C or SIGTERM of the driver, which must exit cleanly."""
    if not study.running or not study.n_recorded():
        return False
    os.kill(study.pid(), signal.SIGINT if rng.random() < 0.5 else signal.SIGTERM)
    return True


def second_driver(study: Study, rng: np.random.Generator) -> bool:
    """A second driver starts while the first holds the study's lock."""
    if not study.running or not study.n_recorded():
        return False
    pid = study.pid()
    if f'"pid": {pid},' not in (study.path / "lock").read_text():
        return False  # the first is still starting, and the second could get the lock before it
    done = study.second_driver()
    if not study.running:
        return False  # the first was done before the second came
    if done.returncode == 0:
        return False  # the first released the study before it ended, so that the second found it done
    wanted = f"is being run by process {pid} on {socket.gethostname()}"
    if done.returncode != 2 or wanted not in done.stderr:
        raise ChaosError(f"a second driver was not refused: {done.returncode}, {done.stderr}")
    return True


def busy_journal(study: Study, rng: np.random.Generator) -> bool:
    """Another process holds the journal's write lock for up to 1.5 s."""
    file = study.path / "journal.sqlite"
    if not file.exists():
        return False
    words = [sys.executable, "-c", _HOLDER, str(file), str(rng.uniform(0.1, 1.5))]
    subprocess.run(words, check=True, timeout=60, stdin=subprocess.DEVNULL)
    return True


def full_disk(study: Study, rng: np.random.Generator) -> bool:
    """The journal's disk is completely full for up to 1.5 s."""
    ballast = fill(study.storage)
    time.sleep(rng.uniform(0.2, 1.5))
    ballast.unlink()
    return True


def fill(folder: Path) -> Path:
    """Fills the disk of a folder; returns the file to remove afterwards."""
    ballast = folder / "ballast"
    for size in (2**20, 512):
        with suppress(OSError), ballast.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(size))
    return ballast


def torn_log(study: Study, rng: np.random.Generator) -> bool:
    """Kill -9 of the driver and loss of the unflushed end of the journal's log, as in a power cut."""
    if not kill_driver(study, rng):
        return False
    log = study.path / "journal.sqlite-wal"
    if not log.exists():
        return False
    content, flushed = log.read_bytes(), FlushMarker(study.path / "journal.sqlite").read()
    lost = int(rng.integers(1, 40_000))
    while lost:
        os.truncate(log, max(0, len(content) - lost))
        if study.n_recorded() >= flushed:
            return True
        log.write_bytes(content)
        lost //= 2
    return False


def kill_raylet(study: Study, rng: np.random.Generator) -> bool:
    """Kill -9 of Ray's raylet, which loses the node, and all of a Ray that rbt_ray started."""
    return _signal(study.named("raylet/raylet"), rng, signal.SIGKILL)


def kill_gcs(study: Study, rng: np.random.Generator) -> bool:
    """Kill -9 of Ray's control server."""
    return _signal(study.named("gcs/gcs_server"), rng, signal.SIGKILL)


def stop_raylet(study: Study, rng: np.random.Generator) -> bool:
    """SIGSTOP of the raylet, SIGCONT up to half a second later."""
    return _pause(study.named("raylet/raylet"), rng)


EVERYWHERE: dict[Fault, float] = {
    kill_worker: 4,
    kill_all_workers: 1,
    stop_worker: 2,
    kill_stopped_worker: 1,
    stop_driver: 1,
    kill_driver: 2,
    kill_everything: 1,
    interrupt_driver: 1,
    second_driver: 1,
    busy_journal: 1.5,
    torn_log: 1,
}
LOCAL: dict[Fault, float] = {**EVERYWHERE, kill_fork_server: 1.5}
RAY: dict[Fault, float] = {**EVERYWHERE, kill_raylet: 1.5, kill_gcs: 0.5, stop_raylet: 1}
ON_A_SMALL_DISK: dict[Fault, float] = {full_disk: 3}


def faults_for(backend: str, *, small_disk: bool) -> dict[Fault, float]:
    """The faults for a study, with the relative frequency of each."""
    return {**(LOCAL if backend == "local" else RAY), **(ON_A_SMALL_DISK if small_disk else {})}


def may_fail(fault_names: list[str]) -> Callable[[int, str], bool]:
    """The exit codes of a driver that these faults explain."""

    def excused(code: int, said: str) -> bool:
        if code == -signal.SIGKILL:
            return bool({"kill_driver", "kill_everything", "torn_log"} & set(fault_names))
        if code == 130:
            return "interrupt_driver" in fault_names and "rbt-ray resume" in said
        if code in (-signal.SIGTERM, -signal.SIGINT):  # before the study handled signals, or a second signal
            return "interrupt_driver" in fault_names
        if code in (1, 2) and "full_disk" in fault_names and re.search(r"disk is full|No space left|disk I/O", said):
            return True
        # Ray ends a process whose raylet is gone, or whose control server has been gone for a minute.
        return code == 1 and bool({"kill_raylet", "kill_gcs"} & set(fault_names))

    return excused


def _signal(processes: list[psutil.Process], rng: np.random.Generator, number: int) -> bool:
    return bool(processes) and _send(processes[rng.integers(len(processes))], number)


def _pause(processes: list[psutil.Process], rng: np.random.Generator) -> bool:
    if not processes:
        return False
    process = processes[rng.integers(len(processes))]
    if not _send(process, signal.SIGSTOP):
        return False
    time.sleep(rng.uniform(0.05, 0.5))
    _send(process, signal.SIGCONT)
    return True


def _send(process: psutil.Process, number: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
        return True
    return False


def _gone(study: Study) -> bool:
    driver: Any = study.driver
    driver.wait()
    study.wait_until_alone()
    study.driver = None
    return True
