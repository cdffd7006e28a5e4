"""Objects that other installed packages provide by entry points, such as searchers, backends and storages."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rbt_ray.errors import InputError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints


def names(group: str) -> list[str]:
    """Returns the names that installed packages define in an entry-point group, sorted."""
    return sorted(_entries(group, _folders()).names)


def load(group: str, name: str) -> Any | None:
    """Imports the object that an installed package provides under a name; None if no package defines the name.

    Raises:
        InputError: two packages define the name, or its module cannot be imported.
    """
    found = list(_entries(group, _folders()).select(name=name))
    if not found:
        return None
    if len(found) > 1:
        packages = " and ".join(sorted(str(entry.dist.name if entry.dist else entry.value) for entry in found))
        raise InputError(
            f"The name {name!r} is defined more than once in the entry points {group!r}: by {packages}. Uninstall one."
        )
    entry = found[0]
    try:
        return entry.load()
    except (Exception, SystemExit) as error:  # importing runs another package's code
        package = entry.dist.name if entry.dist else entry.module
        raise InputError(
            f"The entry point {name!r} of {group!r} ({entry.value}, package {package}) cannot be imported: "
            f"{type(error).__name__}: {error}. Reinstall or fix that package."
        ) from error


@lru_cache(maxsize=16)
def _entries(group: str, _searched: tuple[tuple[str, int], ...]) -> EntryPoints:
    """Returns the entry points of a group in the folders as they are now; reading all packages takes 10 ms or more."""
    from importlib.metadata import entry_points  # its import takes 10 ms

    return entry_points(group=group)


def _folders() -> tuple[tuple[str, int], ...]:
    """Returns the folders that are searched for packages, and when each changed last: installing a package changes one."""
    return tuple((folder, _changed_ns(folder or os.curdir)) for folder in sys.path)


def _changed_ns(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns  # noqa: PTH116 - pathlib takes five times as long
    except OSError:
        return 0


def is_from(given: Any, *packages: str) -> bool:
    """Returns whether an object's class or a base class of it is from these packages; imports none of them."""
    return any(base.__module__.startswith(packages) for base in type(given).__mro__)
