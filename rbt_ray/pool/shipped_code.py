"""Imports the user's own modules from the source that the job includes, so that all workers of a study run the same code.

That also works after their files have changed, and on hosts without them. The modules have the name, `__file__` and package
that a normal import gives them.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from rbt_ray.errors import ObjectiveError
from rbt_ray.objectives.fingerprint.own_code import Source
from rbt_ray.private_files import make_folder, replacing


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
        copy = _home() / hashlib.sha256(self.source.content).hexdigest() / path.name
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


def _home() -> Path:
    if home := os.environ.get("RBT_RAY_HOME"):
        return Path(home).expanduser() / "code"
    import platformdirs

    return Path(platformdirs.user_cache_dir("rbt_ray")) / "code"
