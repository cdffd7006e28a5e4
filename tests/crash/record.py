"""Runs a short study and records what it writes: `python -m tests.crash.record STORAGE TRACE [CALL]`.

Args: the study's parent folder, the file for the trace, and which fsync of the log fails, once. Appended events are notes
in the trace. The log is folded into the file every six pages here, so that a short study sees that often.
"""

import errno
import os
import sys
from pathlib import Path

from rbt_ray.store import flusher, journal
from tests.crash import shim, study


def main():
    storage, trace, *failing = sys.argv[1:]
    library = shim.loaded()
    study.make_quick()
    flusher._CHECKPOINT_BYTES = 6 * 4096
    append = journal.Journal.append
    n_appended = 0

    def appending(self, event):
        nonlocal n_appended
        append(self, event)
        n_appended += 1
        library.shim_note(b"appended %d" % n_appended)

    journal.Journal.append = appending
    library.shim_watch(os.fsencode(storage))
    library.shim_record(os.fsencode(trace))
    for call in failing:
        library.shim_fail_log(int(call), errno.EIO, 0)
    code = study.run(Path(storage))
    library.shim_watch(b"")
    return code


if __name__ == "__main__":
    sys.exit(main())
