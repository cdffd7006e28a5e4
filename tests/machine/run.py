"""Runs one call with one fault in a new process, and checks how it ended."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.machine.calls import call

DEADLINE_S = 300
_START = """
import os, sys
from pathlib import Path
from tests.machine.faults import FAULTS
fault, work, *words = sys.argv[1:]
words = [*(FAULTS[fault](Path(work)) or []), *words]
os.execvp(words[0], words)
"""
_NAMES = {
    0: "done",
    1: "nothing completed",
    2: "bad input",
    3: "an error of ours",
    4: "the import failed",
    130: "interrupted",
}


@dataclass
class Ended:
    """The end of a child process."""

    code: int | None
    stdout: str
    stderr: str

    def wrong(self, fault):
        """Returns the failed check, or None."""
        if self.code is None:
            return f"runs after {DEADLINE_S} s"
        if self.code not in _NAMES or (self.code == 130 and "the study pauses" not in self.stderr):
            return f"exit code {self.code}"
        if "Traceback" in self.stderr or "Exception ignored" in self.stderr:
            return "a traceback"
        heard = not any(word in fault for word in ("descriptor 2", "three", "stderr", "both full", "nobody reads"))
        if heard and self.code in (1, 2, 3) and "rbt-ray:" not in self.stderr and "BAD" not in self.stdout:
            return f"exit code {self.code} without a sentence"
        return None


def run(name, fault, files, work):
    """Makes the call under the fault, with `work` as its working directory."""
    (work / "tmp").mkdir(exist_ok=True)
    environment = {
        **os.environ, "HOME": str(work), "RBT_RAY_HOME": str(work / "home"), "TMPDIR": str(work / "tmp"),
        "PYTHONPATH": str(Path.cwd()), "NUMBA_CACHE_DIR": os.environ.get("NUMBA_CACHE_DIR", ""),
    }  # fmt: skip
    words = [sys.executable, "-c", _START, fault, str(work), *call(name, files, work)]
    child = subprocess.Popen(
        words, cwd=work, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    try:
        out, err = _output(child, fault)
        code = child.returncode
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        out, err = child.communicate()
        code = None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    return Ended(code, out.decode(errors="replace"), err.decode(errors="replace"))


def _output(child, fault):
    deadline, pauses = time.monotonic() + DEADLINE_S, False
    while "files of" in fault and not pauses and time.monotonic() < deadline:
        try:
            return child.communicate(timeout=1)
        except subprocess.TimeoutExpired as so_far:
            pauses = b"the study pauses" in (so_far.stderr or b"")
    if pauses:  # it waits for space, and Ctrl-C ends it
        child.send_signal(signal.SIGINT)
    return child.communicate(timeout=DEADLINE_S)
