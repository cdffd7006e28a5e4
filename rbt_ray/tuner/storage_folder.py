"""Keeps studies out of the copy of a working directory that Ray makes for a job and removes afterwards."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

from rbt_ray.errors import SettingError
from rbt_ray.store.storage import child, is_uri
from rbt_ray.tuner.config import RunConfig

_COPIES = ("runtime_resources", "working_dir_files")
"""Folders below the folder of a Ray session, in which Ray keeps the copies."""


def study_path(run_config: RunConfig, name: str) -> str | Path:
    """Returns the folder or URI of the study of this name.

    Raises:
        SettingError: `storage_path` is an absolute path in Ray's copy of a working directory.
    """
    storage = lasting_path(run_config.storage_path or "studies")
    return child(str(storage), name) if is_uri(storage) else Path(storage) / name


def lasting_path(path: str | Path) -> str | Path:
    """Returns a path of the user's; a relative one that leads into Ray's copy is taken from the home folder instead.

    Raises:
        SettingError: it is an absolute path in such a copy.
    """
    if is_uri(path):
        return path
    try:
        absolute = Path(path).absolute()
    except OSError:  # there is no working directory; the code that needs the folder reports it
        return path
    if _COPIES not in pairwise(absolute.parts):
        return path
    if Path(path).is_absolute():
        raise SettingError(
            f"`storage_path`: Ray removes {str(path)!r} after the job, since it is in a copy of the job's working directory. "
            f"Name a folder outside of it, or a URI."
        )
    return Path.home() / path


def print_if_moved(storage_path: str | Path | None, path: str | Path) -> None:
    """Says on stderr where a study is stored if `lasting_path` has changed that."""
    storage = storage_path or "studies"
    if lasting_path(storage) != storage:
        print(
            f"rbt-ray: the study is stored in {path}, in the home folder of the job's host: Ray removes the job's working "
            f"directory after the job. An absolute `storage_path` or a URI chooses another place.",
            file=sys.stderr,
        )
