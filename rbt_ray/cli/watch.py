"""The command that serves a study's live page, and the process with it that `--watch` starts."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from rbt_ray.cli.streams import discard, visible
from rbt_ray.errors import SettingError, StudyNotFoundError

_MISSING = "the live page needs starlette and uvicorn: pip install 'rbt-ray[live]'."


def watch(path: str, *, port: int, parent: int | None) -> int:
    """Serves the live page of a study, on this machine only, until Ctrl-C or until nobody needs it any more."""
    require_server()
    from rbt_ray.live.server import serve
    from rbt_ray.live.watch import Watch
    from rbt_ray.store.journal_file import FILE_NAME
    from rbt_ray.store.location import StudyLocation

    if parent is None:
        folder = StudyLocation(path).fetch()
        if not (folder / FILE_NAME).exists():
            raise StudyNotFoundError(f"there is no study in {folder} (no {FILE_NAME}).")
    else:
        folder = Path(path)

    def announce(address: str) -> None:
        print(f"Watch the study at {visible(address)}", flush=True)
        if parent is None:
            print("Only who has this address can open the page. Ctrl-C ends the page, not the study.", flush=True)
            return
        for descriptor in (1, 2):  # of the command that started this process: its reader waits until all have closed it
            discard(descriptor)

    serve(Watch(folder), port, announce, parent=parent)
    return 0


def start(folder: Path) -> None:
    """Starts a process that serves the page of a study that this process is about to run; its address goes to stderr.

    Raises:
        SettingError: what serves the page is not installed.
    """
    require_server()
    command = [sys.executable, "-m", "rbt_ray.cli", "watch", str(folder), "--parent", str(os.getpid())]
    # Ctrl-C in the terminal is for the study: the page then shows how it ended.
    subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(), start_new_session=True)


def require_server() -> None:
    """Checks that what serves the page is installed.

    Raises:
        SettingError: it is not.
    """
    if find_spec("starlette") is None or find_spec("uvicorn") is None:
        raise SettingError(_MISSING)
