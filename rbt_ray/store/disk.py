"""Checks for free disk space before copying."""

from __future__ import annotations

import shutil
from pathlib import Path

from rbt_ray.errors import SettingError

_KEPT_FREE = 64 * 2**20


def check_free(folder: Path, needed: int) -> None:
    """Checks that a disk has enough free space.

    Args:
        folder: a folder on the disk.
        needed: the bytes to write.

    Raises:
        SettingError: less than 64 MiB would be left.
    """
    free = shutil.disk_usage(folder).free
    if needed + _KEPT_FREE > free:
        raise SettingError(
            f"{needed / 1e9:,.1f} GB would have to be copied to {folder}, and {free / 1e9:,.1f} GB are free there. Free some "
            f"space, or set RBT_RAY_HOME to a folder on another disk."
        )
