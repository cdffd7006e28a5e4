"""Whether what is to be copied fits on a disk."""

from __future__ import annotations

import shutil
from pathlib import Path

from rbt_ray.errors import SettingError

_KEPT_FREE = 64 * 2**20


def check_free(folder: Path, needed: int) -> None:
    """Refuses to write what does not fit.

    Args:
        folder: where it would be written.
        needed: its bytes.

    Raises:
        SettingError: it would leave less than 64 MB of the disk.
    """
    free = shutil.disk_usage(folder).free
    if needed + _KEPT_FREE > free:
        raise SettingError(
            f"{needed / 1e9:,.1f} GB would have to be copied to {folder}, and {free / 1e9:,.1f} GB are free there. Make room, "
            f"or set RBT_RAY_HOME to a folder on another disk."
        )
