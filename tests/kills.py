"""Children that are killed by SIGKILL just before a chosen system call, as Python announces it."""

import os
import signal
import sys
import traceback

_ANNOUNCED = ("open", "os.", "fcntl.", "shutil.", "mmap.", "sqlite3.")


def kill_at(nth):
    """Kills this process by SIGKILL when it is about to touch the disk for the `nth` time from now, counted from 1."""
    left = nth

    def look(event, _):
        nonlocal left
        if event.startswith(_ANNOUNCED) and event != "os.kill":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)


def forked(act):
    """The id of a child that runs `act` and exits with 0, or with 1 and a traceback if it raises."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        act()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def ended(pid):
    """Waits for a child and returns its exit code; minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
