"""Runs the command line with a fault in the driver: `python -m tests.crash.command FOLDER CALL ERRNO FOREVER WORDS...`."""

import os
import sys

from rbt_ray.cli.main import run_command
from rbt_ray.engine import journal_retry
from tests.crash import shim


def main():
    folder, call, failure, forever, *words = sys.argv[1:]
    library = shim.loaded()
    journal_retry._FAULT_SECONDS = 1.0
    library.shim_watch(os.fsencode(folder))
    library.shim_fail(int(call), int(failure), int(forever))
    code = run_command(words)
    library.shim_watch(b"")
    return code


if __name__ == "__main__":
    sys.exit(main())
