"""Runs short studies, each in a fork of this process with one fault: `python -m tests.crash.faults`.

Reads a line of JSON for each case from stdin, [number of the call, errno, for ever], and prints a line for each.
"""

import errno
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.crash import shim, study

_SECONDS = 30.0
_CTRL_C_SECONDS = 0.4
"""After how long Ctrl-C ends a study on a full disk, which is waited for without end."""


def forked(folder, work):
    """Runs `work` in a fork; returns its exit code (None: it hung), stdout and stderr."""
    out, err = folder / "out", folder / "err"
    pid = os.fork()
    if pid == 0:
        for path, number in ((out, 1), (err, 2)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
        code = work()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    end = time.monotonic() + _SECONDS
    while not (done := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            return None, out.read_text(), err.read_text()
        time.sleep(0.0005)
    return os.waitstatus_to_exitcode(done[1]), out.read_text(), err.read_text()


def case(library, folder, number, failure, forever):
    """Runs a study with a fault, and resumes it without."""
    storage = folder / "studies"

    def faulty():
        library.shim_watch(os.fsencode(storage))
        library.shim_fail(number, failure, forever)
        is_full = forever and failure in (errno.ENOSPC, errno.EDQUOT)
        code = study.run(storage, _CTRL_C_SECONDS if is_full else 0.0)
        counted = [library.shim_failed(), library.shim_count()]
        library.shim_watch(b"")
        (folder / "counted").write_text(json.dumps(counted))
        return code

    code, out, said = forked(folder, faulty)
    n_failed, n_calls = json.loads((folder / "counted").read_text()) if code is not None else (None, None)
    again = forked(folder, lambda: study.run(storage))
    return {"n_failed": n_failed, "n_calls": n_calls, "code": code, "out": out, "said": said, "again": again}


def main():
    library = shim.loaded()
    study.make_quick()
    # In memory if possible: the faults are injected, and a real disk would take most of the time.
    base = Path(tempfile.mkdtemp(prefix="rbt-ray-faults-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    try:
        # Once in this process, so that every fork has the modules that a study loads.
        study.run(base / "first")
        for line in sys.stdin:
            folder = Path(tempfile.mkdtemp(dir=base))
            print(json.dumps(case(library, folder, *json.loads(line))), flush=True)
            shutil.rmtree(folder)
    finally:
        shutil.rmtree(base)


if __name__ == "__main__":
    main()
