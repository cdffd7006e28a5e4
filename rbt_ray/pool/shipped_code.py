"""Imports the user's own modules from the source that the job includes, so that all workers of a study run the same code.

That also works after their files have changed, and on hosts without them. The modules have the name, `__file__` and package
that a normal import gives them. `LoadedModules` tells whether the files of imported modules have changed since.
"""

from __future__ import annotations

import hashlib
import math
import os
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from rbt_ray.errors import ObjectiveError
from rbt_ray.objectives.fingerprint.own_code import Source, version_of
from rbt_ray.objectives.interpreter import imported_since
from rbt_ray.private_files import make_folder, own_folder, replacing

_STANDARD = tuple(sysconfig.get_paths()[name] + os.sep for name in ("stdlib", "platstdlib"))
_PACKAGES = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))
_OURS = str(Path(__file__).parents[1]) + os.sep
_MARGIN_S = 0.05
"""The seconds by which the clock of a file system may lag behind `time.time`."""
_inherited: LoadedModules | None = None


class _Loader(SourceFileLoader):
    """Loads a module from the source in the job."""

    def __init__(self, name: str, path: str, source: Source) -> None:
        super().__init__(name, path)
        self.source = source

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002 - the loader is of one module
        """Returns the module's code. It ignores a cached `.pyc`, which may be of another version of the file."""
        code: CodeType = compile(self.source.content, self._compiled_from(), "exec", dont_inherit=True)
        return code

    def get_data(self, path: Any) -> bytes:
        """Returns the source in the job, or the content of another file."""
        return self.source.content if path == self.path else super().get_data(path)

    def _compiled_from(self) -> str:
        """Returns the path of a file that holds the source, and writes the file if there is none.

        Tracebacks, `inspect.getsource` and numba's cache find the source by this path. If the file had other
        content, numba would cache the kernels of this source as kernels of that content.

        Raises:
            ObjectiveError: the file cannot be written.
        """
        path = Path(self.path)
        if _holds(path, self.source.content):
            return self.path
        copy = own_folder("code", is_cache=True) / hashlib.sha256(self.source.content).hexdigest() / path.name
        try:
            if not _holds(copy, self.source.content):
                make_folder(copy.parent)
                with replacing(copy, flush=False) as file:
                    file.write(self.source.content)
        except OSError as error:
            raise ObjectiveError(
                f"{path.name} has changed since the study began, and a copy of the earlier version cannot be written to `{copy.parent}`: "
                f"{error.strerror or error}. Set RBT_RAY_HOME to a writable folder."
            ) from None
        return str(copy)


class _Finder:
    """Finds the modules of a job; it precedes all other finders."""

    def __init__(self) -> None:
        self.sources: Mapping[str, Source] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        source = self.sources.get(name)
        if source is None:
            return None
        here = self._here(name, path, target)
        file = here.origin if here is not None and here.origin is not None else source.file
        folders = None
        if source.is_package:
            found = None if here is None else here.submodule_search_locations
            folders = [str(Path(file).parent)] if found is None else list(found)
        return spec_from_file_location(
            name, file, loader=_Loader(name, file, source), submodule_search_locations=folders
        )

    def _here(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        """Returns the spec of the module's file on this host, if any: code looks for other files beside it."""
        for finder in sys.meta_path:
            if finder is not self and (spec := finder.find_spec(name, path, target)) is not None:
                return spec if spec.origin is not None and spec.origin.endswith(".py") else None
        return None


_finder = _Finder()


def loaded_version_differs(sources: Mapping[str, Source]) -> str | None:
    """Returns the name of a module that this process imported from another version, sent with an earlier job; or None."""
    for name, source in sources.items():
        loader = getattr(sys.modules.get(name), "__loader__", None)
        if isinstance(loader, _Loader) and loader.source.content != source.content:
            return name
    return None


def use(sources: Mapping[str, Source]) -> None:
    """Makes this process import these modules from their sources."""
    _finder.sources = sources
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


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
