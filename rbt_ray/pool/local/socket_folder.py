"""The folder in which a fork server listens: its driver removes it, unless the driver is killed."""

from __future__ import annotations

import atexit
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

_PREFIX = "pymp-"
"""What multiprocessing calls its temporary folders."""


def remove_after_a_driver_that_was_killed() -> None:
    """Within a fork server, which ends by itself only after its driver: at its end the folder is gone."""
    path = _where_this_process_listens()
    if path is not None and path.parent.name.startswith(_PREFIX):
        # The driver may be dead by now, so that its process id tells nothing. Forked workers end without this.
        atexit.register(_remove, path)


def _remove(path: Path) -> None:
    """Removes a socket, and its folder if that is empty: a process shares the folder with its children's fork servers."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
        path.parent.rmdir()


def _where_this_process_listens() -> Path | None:
    descriptors = Path("/proc/self/fd")
    for link in sorted(descriptors.iterdir()) if descriptors.exists() else ():
        with suppress(OSError):
            number = int(link.name)
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                with socket.socket(fileno=os.dup(number)) as listener:
                    listens = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                    if listens and listener.family == socket.AF_UNIX:
                        return Path(listener.getsockname())
    return None
