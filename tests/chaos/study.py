"""A study under faults: its successive drivers, their processes, and the checks at its end."""

from __future__ import annotations

import json
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from rbt_ray.errors import RbtError
from rbt_ray.private_files import DRAFT_PREFIX
from rbt_ray.store.connection import open_reader
from rbt_ray.store.journal import Finished, Journal
from rbt_ray.tuner.result_grid import ResultGrid
from tests.chaos.driver import HURRY

DRIVER = Path(__file__).with_name("driver.py")
SHM = Path("/dev/shm")
_TOKEN = "RBT_CHAOS_TOKEN"
_PATIENCE_S = 120
_LEAVING_S = {"local": 15, "ray": 90}
"""What processes have to end in that lost their driver. A worker that Ray was starting waits a minute for its raylet first."""


class ChaosError(AssertionError):
    """A check failed."""


def wait_for(condition: Callable[[], Any], what: str, seconds: float = _PATIENCE_S) -> None:
    """Waits until a condition holds.

    Raises:
        ChaosError: it does not hold within `seconds`.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise ChaosError(f"waited {seconds:g} s in vain until {what}")
        time.sleep(0.01)


@dataclass
class Study:
    """A study in a folder, run by successive drivers.

    Args:
        folder: an empty folder for logs and temporary files.
        storage: the folder for its journal; on a separate disk for studies whose disk is filled.
        kind: one of `driver.KINDS`.
        backend: "local" or "ray".
        own_shm: whether its processes have a private `/dev/shm`; otherwise only unused files there can be attributed.
    """

    folder: Path
    storage: Path
    kind: str
    backend: str
    own_shm: bool
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    n_drivers: int = 0
    driver: subprocess.Popen[bytes] | None = None
    fork_server_was_killed: bool = False

    def __post_init__(self) -> None:
        self.path = self.storage / "study"
        self.hurry_file = self.folder / "hurry"
        self.temporary = self.folder / "tmp"
        self.temporary.mkdir(parents=True)
        self._shm = self.folder / "shm" if self.own_shm else SHM
        self._shm.mkdir(exist_ok=True)
        self._shm_before = _names(self._shm)
        self._began = time.time()

    @property
    def env(self) -> dict[str, str]:
        """Returns variables that identify every process of this study and separate its temporary files."""
        return {
            **os.environ,
            _TOKEN: self.token,
            HURRY: str(self.hurry_file),
            "TMPDIR": str(self.temporary),
            "RAY_TMPDIR": f"/tmp/c{self.token}",  # Ray's sockets are below it and need short paths
        }

    def start(self) -> None:
        """Starts the study, or resumes it."""
        words = [sys.executable, str(DRIVER), str(self.storage), self.kind, self.backend]
        if self.own_shm:
            words = ["unshare", "--mount", "sh", "-c", f'mount --bind {self._shm} {SHM} && exec "$@"', "sh", *words]
        self.n_drivers += 1
        with self._out().open("wb") as out, self._err().open("wb") as err:
            self.driver = subprocess.Popen(words, env=self.env, cwd=self.folder, stdout=out, stderr=err)

    def second_driver(self) -> subprocess.CompletedProcess[str]:
        """Starts a second driver of the study, which must be refused."""
        words = [sys.executable, str(DRIVER), str(self.storage), self.kind, self.backend]
        return subprocess.run(words, env=self.env, cwd=self.folder, capture_output=True, text=True, timeout=_PATIENCE_S)

    def hurry(self) -> None:
        """Trials are no longer slow."""
        self.hurry_file.touch()

    @property
    def running(self) -> bool:
        """Whether a driver is running."""
        return self.driver is not None and self.driver.poll() is None

    def pid(self) -> int:
        """The driver's process id."""
        assert self.driver is not None
        return self.driver.pid

    def said(self) -> str:
        """The latest driver's stderr."""
        return self._err().read_text(errors="replace")

    def processes(self) -> list[psutil.Process]:
        """Returns all running processes of this study, wherever they are in the process tree."""
        found = []
        for process in psutil.process_iter():
            try:
                ours = process.create_time() >= self._began - 1 and process.environ().get(_TOKEN) == self.token
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def named(self, part: str) -> list[psutil.Process]:
        """Returns the processes whose command line contains the text."""
        return [process for process in self.processes() if part in " ".join(_words(process))]

    def fork_servers(self) -> list[psutil.Process]:
        """Returns the fork servers of local workers."""
        return [process for process in self.named("multiprocessing.forkserver") if process.ppid() == self.pid()]

    def workers(self) -> list[psutil.Process]:
        """Returns the local worker processes, or Ray's actors."""
        if self.backend == "ray":
            return self.named("ray::RayActor")
        servers = {process.pid for process in self.fork_servers()}
        return [process for process in self.named("multiprocessing.forkserver") if process.ppid() in servers]

    def n_recorded(self) -> int:
        """Returns the number of events in the journal.

        Reads as the package's own readers do: a connection of SQLite's to the file itself that is open while the driver
        closes the journal would keep the driver from removing its log.
        """
        try:
            with closing(open_reader(self.path / "journal.sqlite")) as connection:
                return int(connection.execute("SELECT coalesce(max(number), 0) FROM events").fetchone()[0])
        except (RbtError, sqlite3.Error):
            return 0

    def finish(self, may_fail: Callable[[int, str], bool]) -> dict[str, Any]:
        """Waits for the driver, starts others while they end as expected, and returns the last one's answer.

        Args:
            may_fail: whether a driver may end with an exit code and a stderr text.
        """
        for _ in range(20):
            if self.driver is None:
                self.start()
            assert self.driver is not None
            try:
                code = self.driver.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                raise ChaosError(f"the driver does not end: {self.said()}") from None
            if code == 0:
                answer: dict[str, Any] = json.loads(self._out().read_text().splitlines()[-1])
                return answer
            self.check_end(code, may_fail)
            self.driver = None
        raise ChaosError(f"twenty drivers in a row broke off; the last said {self.said()}")

    def check_end(self, code: int, may_fail: Callable[[int, str], bool]) -> None:
        """Checks that a driver that ended before the study left no process and printed a reason."""
        said = self.said()
        by_signal = code == -signal.SIGINT and said.rstrip().endswith("KeyboardInterrupt")
        if ("Traceback" in said and not by_signal) or not may_fail(code, said):
            raise ChaosError(f"a driver ended with code {code} and said: {said[-3000:]}")
        self.wait_until_alone()

    def wait_until_alone(self) -> None:
        """Waits until no process of this study runs.

        Raises:
            ChaosError: some still run; the message names them.
        """
        try:
            wait_for(lambda: not self.processes(), "no process is left", _LEAVING_S[self.backend])
        except ChaosError as error:
            left = [" ".join(_words(process))[:100] for process in self.processes()]
            raise ChaosError(f"{error}: {left}") from None

    def check(self, answer: dict[str, Any], undisturbed: dict[str, Any]) -> None:
        """Checks that the study ended like one without faults.

        Raises:
            ChaosError: it did not; the message has the difference.
        """
        _same("the table", answer["hash"], undisturbed["hash"])
        _same("the statuses", answer["status"], undisturbed["status"])
        with closing(Journal(self.path)) as journal:
            trials = [n for event in journal.read() if isinstance(event, Finished) for n in event.trials.tolist()]
        _same("the trials, each once", sorted(trials), list(range(undisturbed["n"])))
        _same("the table as another process reads it", ResultGrid(self.path).table_hash(), undisturbed["hash"])
        if len(answer["files"]) > len(undisturbed["files"]):
            raise ChaosError(f"the driver leaks descriptors: {answer['files']} beside {undisturbed['files']}")
        self.wait_until_alone()
        # Temporary files of killed drivers are removed after an hour; see docs/reliability.md.
        files = {name for name in _names(self.path) if self.n_drivers == 1 or not name.startswith(DRAFT_PREFIX)}
        _same("the study's files", sorted(files), ["journal.sqlite", "lock"])
        _same("temporary files", [name for name in _names(self.temporary) if name not in self.excused()], [])
        _same("shared memory", self._shared_memory_left(), [])

    def excused(self) -> set[str]:
        """Returns temporary files that killed processes could not remove; docs/reliability.md names them.

        These are socket folders of killed fork servers, and journal copies of drivers that were killed while they copied.
        """
        folders = self.temporary.glob("pymp-*") if self.fork_server_was_killed else []
        sockets = {folder.name for folder in folders if all(path.is_socket() for path in folder.iterdir())}
        return sockets | (
            {path.name for path in self.temporary.glob("rbt-ray-journal-*")} if self.n_drivers > 1 else set()
        )

    def end(self) -> None:
        """Ends all remaining processes of the study, by process id."""
        for process in self.processes():
            try:
                process.send_signal(signal.SIGCONT)
                process.kill()
            except psutil.Error:
                continue
        if self.driver is not None:
            self.driver.wait()
        if self.backend == "ray":
            subprocess.run(["rm", "-rf", self.env["RAY_TMPDIR"]], check=True)

    def _out(self) -> Path:
        return self.folder / f"{self.n_drivers}.out"

    def _err(self) -> Path:
        return self.folder / f"{self.n_drivers}.err"

    def _shared_memory_left(self) -> list[str]:
        new = _names(self._shm) - self._shm_before
        if self.own_shm:
            return sorted(new)
        return sorted(name for name in new if name.startswith("sem.rbt") or name.startswith("plasma"))


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _same(what: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise ChaosError(f"{what}: found {found}, expected {expected}")
