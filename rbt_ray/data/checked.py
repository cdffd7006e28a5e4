"""Bundles that a process has compared with their checksums already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle

_State: TypeAlias = tuple[str, tuple[int, ...] | None]
"""A bundle's version and the device, inode, size and times of its file; None for one without a file."""


class CheckedBundles:
    """The bundles whose prices were those they were made of when this process last compared them."""

    def __init__(self) -> None:
        self._passed: dict[Path | None, _State] = {}

    def changed(self, bundle: Bundle, *, again: bool) -> str | None:
        """Returns which prices differ from those the bundle was made of, for people; None if none do.

        Args:
            bundle: the prices.
            again: whether to compare a bundle that passed before, though its file has the same size and times as then.
        """
        state = _state(bundle)
        if not again and self._passed.get(bundle.path) == state:
            return None
        where = bundle.content.changed()
        if where is None:
            self._passed[bundle.path] = state
        else:
            self._passed.pop(bundle.path, None)
        return where


def _state(bundle: Bundle) -> _State:
    if bundle.path is None:
        return bundle.version, None
    try:
        found = bundle.path.stat()
    except OSError:  # removed while it is mapped
        return bundle.version, ()
    return bundle.version, (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
