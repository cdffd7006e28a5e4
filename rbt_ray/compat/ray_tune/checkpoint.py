"""A checkpoint: a folder from which a trial can go on."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rbt_ray import private_files
from rbt_ray.errors import NotSupportedError

_METADATA = ".metadata.json"


class Checkpoint:
    """A folder that holds what a trial needs to go on.

    Args:
        path: the folder, on a disk that this machine sees.

    Raises:
        NotSupportedError: it is a URI.
    """

    def __init__(self, path: str | os.PathLike[str], filesystem: Any = None) -> None:
        if filesystem is not None and not type(filesystem).__name__.startswith("LocalFileSystem"):
            raise NotSupportedError("`filesystem`: a checkpoint is a folder here; download it first, by `pyarrow.fs`.")
        if "://" in str(path):
            raise NotSupportedError(f"a checkpoint is a folder here; got {path!s}. Download it first, by `pyarrow.fs`.")
        self.path = str(path)

    @classmethod
    def from_directory(cls, path: str | os.PathLike[str]) -> Checkpoint:
        """The checkpoint in a folder."""
        return cls(path)

    @property
    def filesystem(self) -> Any:
        """The local one, of pyarrow's."""
        import pyarrow.fs

        return pyarrow.fs.LocalFileSystem()

    @contextmanager
    def as_directory(self) -> Iterator[str]:
        """The folder itself, to be read and not to be changed."""
        yield self.path

    def to_directory(self, path: str | os.PathLike[str] | None = None) -> str:
        """Copies the folder to `path`, or to a new temporary folder, and gives that."""
        target = tempfile.mkdtemp(prefix="checkpoint_") if path is None else os.fspath(path)
        shutil.copytree(self.path, target, dirs_exist_ok=True)
        return target

    def get_metadata(self) -> dict[str, Any]:
        """What `set_metadata` left; empty for nothing."""
        file = Path(self.path, _METADATA)
        found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        return found

    def set_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Leaves what JSON can hold beside the checkpoint, in place of what was there."""
        private_files.write(Path(self.path, _METADATA), json.dumps(dict(metadata)))

    def update_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Adds to what is there."""
        self.set_metadata({**self.get_metadata(), **metadata})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Checkpoint) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        return f"Checkpoint(filesystem=local, path={self.path})"
