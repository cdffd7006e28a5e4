"""Objects that other installed packages provide by entry points, such as searchers, backends and storages."""

from __future__ import annotations

from typing import Any

from rbt_ray.errors import InputError


def names(group: str) -> list[str]:
    """Returns the names that installed packages define in an entry-point group, sorted."""
    from importlib.metadata import entry_points  # its import takes 10 ms

    return sorted(entry_points(group=group).names)


def load(group: str, name: str) -> Any | None:
    """Imports the object that an installed package provides under a name; None if no package defines the name.

    Raises:
        InputError: two packages define the name, or its module cannot be imported.
    """
    from importlib.metadata import entry_points

    found = list(entry_points(group=group, name=name))
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
