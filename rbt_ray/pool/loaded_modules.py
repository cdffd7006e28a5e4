"""Which of the user's modules a worker has imported, and whether a file of theirs has changed since."""

from __future__ import annotations

import math
import os
import sys
import sysconfig
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from rbt_ray.objectives.interpreter import imported_since
from rbt_ray.objectives.own_code import version_of

_STANDARD = tuple(sysconfig.get_paths()[name] + os.sep for name in ("stdlib", "platstdlib"))
_PACKAGES = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))
_OURS = str(Path(__file__).parents[1]) + os.sep
_MARGIN_S = 0.05
"""By how much the clock of a file system may be behind `time.time`."""


@dataclass(frozen=True, slots=True)
class _Version:
    """A module as it was imported.

    Args:
        file: where it is.
        found: the file that the import system finds under its name, or None.
        stamp: its `version_of`; None where the file is not known to be the one that was imported.
    """

    file: str
    found: str | None
    stamp: tuple[int, int, int] | None


class LoadedModules:
    """The modules of this process; those that it has when this is made count as older than any change of a file.

    `has_installed` tells whether other installed packages were imported since.
    """

    def __init__(self) -> None:
        self.has_installed = False
        self._packages = {name.partition(".")[0] for name in sys.modules}
        self._seen: set[str] = set()
        self._last: tuple[int, str] | None = None
        self._versions: dict[str, _Version] = {}
        self.look(math.inf)

    @property
    def has_users(self) -> bool:
        """Whether there is one that is neither installed, nor of the standard library, nor of rbt_ray."""
        return bool(self._versions)

    def look(self, since: float) -> None:
        """Records what was imported since the last look; takes less than a microsecond where nothing was.

        Args:
            since: seconds since the epoch at the last look, or later, but before anything was imported. A file that was
                changed after that may not be the one that was imported.
        """
        last = len(sys.modules), next(reversed(sys.modules))
        if last == self._last:
            return
        for name in imported_since(None if self._last is None else self._last[1]):
            if name in self._seen:
                continue
            self._seen.add(name)
            file = _file_of(sys.modules.get(name))
            if file is None or file.startswith(_OURS) or name in ("__main__", "__mp_main__"):
                continue
            if any(part in file for part in _PACKAGES):
                self.has_installed |= name.partition(".")[0] not in self._packages
            elif not file.startswith(_STANDARD):
                stamp = _stamp(file)
                certain = stamp is not None and max(stamp[:2]) < (since - _MARGIN_S) * 1e9
                self._versions[name] = _Version(file, _found(name), stamp if certain else None)
        self._last = last

    def changed(self) -> str | None:
        """Returns the name of a module that a new process may import in another version, or None."""
        for name, version in self._versions.items():
            if version.stamp is None or _stamp(version.file) != version.stamp or _found(name) != version.found:
                return name
        return None


def remember() -> None:
    """Looks at the modules of a fork server, so that its workers need not."""
    global _inherited
    _inherited = LoadedModules()


def of_this_process() -> LoadedModules:
    """Returns the modules of a process that has imported none of the user's own."""
    return _inherited or LoadedModules()


_inherited: LoadedModules | None = None


def _file_of(module: Any) -> str | None:
    """The file, or the archive in which it is."""
    spec = getattr(module, "__spec__", None)
    file = getattr(getattr(spec, "loader", None), "archive", None) or getattr(module, "__file__", None)
    return file if isinstance(file, str) else None


def _stamp(file: str) -> tuple[int, int, int] | None:
    try:
        return version_of(file)
    except OSError:
        return None


def _found(name: str) -> str | None:
    """The file that is imported under the name of a top-level module now: another may have come before it."""
    if "." in name:
        return None
    try:
        spec = PathFinder.find_spec(name)
    except Exception:  # finders of the user's own may raise anything
        return None
    return None if spec is None else spec.origin
