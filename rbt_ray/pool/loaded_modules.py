"""LoadedModules: the user's modules that a worker has imported, and whether their files have changed since."""

from __future__ import annotations

import math
import os
import sys
import sysconfig
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from rbt_ray.objectives.fingerprint.own_code import version_of
from rbt_ray.objectives.interpreter import imported_since

_STANDARD = tuple(sysconfig.get_paths()[name] + os.sep for name in ("stdlib", "platstdlib"))
_PACKAGES = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))
_OURS = str(Path(__file__).parents[1]) + os.sep
_MARGIN_S = 0.05
"""The seconds by which the clock of a file system may lag behind `time.time`."""


@dataclass(frozen=True, slots=True)
class _Version:
    """A module as it was imported.

    Args:
        file: its path.
        found: the file that the import system finds under its name, or None.
        stamp: the file's `version_of`; None if the file may not be the one that was imported.
    """

    file: str
    found: str | None
    stamp: tuple[int, int, int] | None


class LoadedModules:
    """The modules of this process. Modules that were imported before this is created are taken to match their files.

    `has_installed` is whether other installed packages have been imported since.
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
        """Whether a module is neither installed, nor part of the standard library, nor part of rbt_ray."""
        return bool(self._versions)

    def look(self, since: float) -> None:
        """Records the modules imported since the last call; takes less than a microsecond if there are none.

        Args:
            since: seconds since the epoch, at a time after the last call and before the first import. A file that was
                changed later may not be the one that was imported.
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
    """Records the modules of a fork server, for the workers that it forks."""
    global _inherited
    _inherited = LoadedModules()


def of_this_process() -> LoadedModules:
    """Returns the modules of this process before it imports any of the user's own."""
    return _inherited or LoadedModules()


_inherited: LoadedModules | None = None


def _file_of(module: Any) -> str | None:
    """Returns the file, or the archive that contains it."""
    spec = getattr(module, "__spec__", None)
    file = getattr(getattr(spec, "loader", None), "archive", None) or getattr(module, "__file__", None)
    return file if isinstance(file, str) else None


def _stamp(file: str) -> tuple[int, int, int] | None:
    try:
        return version_of(file)
    except OSError:
        return None


def _found(name: str) -> str | None:
    """Returns the file that an import of a top-level module would load now, as a new file may precede it on the path."""
    if "." in name:
        return None
    try:
        spec = PathFinder.find_spec(name)
    except Exception:  # finders of the user's own may raise anything
        return None
    return None if spec is None else spec.origin
