"""A study on hosts of a network, slow until a test has injected its fault."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.cluster.hosts import Host

RBT_RAY = Path(sys.executable).with_name("rbt-ray")
_OBJECTIVE = """
import os, socket, time
from pathlib import Path

HERE = Path(__file__).parent

def objective(params, data):
    with (HERE / "ran.log").open("a") as log:
        log.write(f"{socket.gethostname()} {os.getpid()} {time.time()}\\n")
    if not (HERE / "hurry").exists():
        time.sleep(PACE_S)
    return {"score": float(data.close[params["x"], 0]), "noise": data.rng.random()}
"""
_STUDY = """
objective = "paced:objective"
bundle = "{bundle}"
[space]
x = {{ randint = [0, 4000] }}
[search]
metric = "score"
search_alg = "random"
num_samples = 200
seed = 5
"""


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> float:
    """Waits until a condition holds and returns the seconds it took.

    Raises:
        AssertionError: it does not within `seconds`.
    """
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, f"waited {seconds:g} s in vain"
        time.sleep(0.02)
    return time.monotonic() - begun


class Driver:
    """A command that runs on a host in the background of a test.

    Args:
        host: where it runs.
        words: the command and its arguments.
        folder: where what it prints is kept.
        env: variables beside the host's own.
        cwd: where it runs; None: in `folder`.
    """

    def __init__(
        self, host: Host, words: list[str | Path], folder: Path, env: Mapping[str, str], cwd: Path | None = None
    ) -> None:
        number = len(list(folder.glob("*.out")))
        self._out, self._err = folder / f"{number}.out", folder / f"{number}.err"
        with self._out.open("w") as out, self._err.open("w") as err:
            self._process = host.start(words, env=env, cwd=cwd or folder, stdout=out, stderr=err)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def said(self) -> str:
        """What it has printed so far; its last character may not be complete."""
        return "".join(path.read_bytes().decode(errors="replace") for path in (self._out, self._err))

    def kill(self) -> None:
        """Kills the command itself with kill -9, and not `nsenter`, which waits for it."""
        for child in psutil.Process(self._process.pid).children():
            child.kill()
        self._process.wait(timeout=30)

    def end(self, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Waits for the command and returns its output and exit code.

        Raises:
            subprocess.TimeoutExpired: it has not within `seconds`; it is killed.
        """
        try:
            code = self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise AssertionError(
                f"not done within {seconds:g} s: {self._out.read_text()}{self._err.read_text()}"
            ) from error
        return subprocess.CompletedProcess([], code, self._out.read_text(), self._err.read_text())

    def result(self, seconds: float = 120) -> dict[str, Any]:
        """The JSON it printed.

        Raises:
            AssertionError: it failed.
        """
        done = self.end(seconds)
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        return result


@dataclass(frozen=True)
class Begun:
    """A trial that a worker has started; the time is in s since the epoch."""

    host: str
    pid: int
    at: float


class Study:
    """A study in a shared folder, with a log of trial starts by worker and time.

    Args:
        folder: empty.
        pace_s: seconds that each of the 200 trials takes until `hurry`.
    """

    def __init__(self, folder: Path, pace_s: float = 0.25) -> None:
        self.folder = folder
        self.path = folder / "studies" / "study"
        (folder / "paced.py").write_text(_OBJECTIVE.replace("PACE_S", str(pace_s)))

    def hurry(self) -> None:
        """Trials are no longer slow."""
        (self.folder / "hurry").touch()

    def begun(self) -> list[Begun]:
        """Returns the starts of all trials, including repeated ones."""
        log = self.folder / "ran.log"
        lines = log.read_text().split("\n")[:-1] if log.exists() else []
        return [Begun(host, int(pid), float(at)) for host, pid, at in map(str.split, lines)]

    def seen(self, *hosts: Host, since: float = 0.0) -> bool:
        """Returns whether each of these hosts has started a trial after `since`."""
        return {host.name for host in hosts} <= {one.host for one in self.begun() if one.at > since}

    def processes(self, host: Host) -> set[int]:
        """Returns the host's workers that have started a trial."""
        return {one.pid for one in self.begun() if one.host == host.name}

    def run(
        self,
        host: Host,
        env: Mapping[str, str],
        *options: str,
        address: str = "auto",
        bundle: str = "fx",
        settings: str = "",
    ) -> Driver:
        """Starts the study, with further options of `rbt-ray run` and lines of the table [run]."""
        (self.folder / "study.toml").write_text(f"{_STUDY.format(bundle=bundle)}[run]\n{settings}\n")
        words = [RBT_RAY, "run", "study.toml", "--json", "--backend", "ray", "--address", address, *options]
        return Driver(host, words, self.folder, env)

    def resume(self, host: Host, env: Mapping[str, str]) -> Driver:
        """Resumes the study."""
        words = [RBT_RAY, "resume", self.path, "--json", "--backend", "ray", "--address", "auto"]
        return Driver(host, words, self.folder, env)


def local_table_hash(folder: Path) -> str:
    """Returns the hash of the study's table on the local backend."""
    study = Study(folder)
    study.hurry()
    (folder / "study.toml").write_text(_STUDY.format(bundle="fx"))
    words = [RBT_RAY, "run", "study.toml", "--json", "--backend", "local", "--workers", "2"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    found: str = json.loads(done.stdout)["table_hash"]
    return found
