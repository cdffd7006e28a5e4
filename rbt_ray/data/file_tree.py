"""Sends a folder that a backtester reads itself to other hosts; the hash of its content identifies it."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rbt_ray.errors import BundleError
from rbt_ray.private_files import ABANDONED_AFTER_S, make_folder, own_folder, sync

_DRAFT = ".unpacking-"


@dataclass(frozen=True, slots=True)
class FileTree:
    """A folder and the hash of its files.

    Args:
        folder: its path on this host.
        version: sha256 of the names and contents of its files, in hexadecimal.
        without: names of files and folders in it that are left out.
    """

    folder: Path
    version: str
    without: tuple[str, ...] = ()

    @classmethod
    def of(cls, folder: Path, *, without: Iterable[str] = ()) -> FileTree:
        """Reads a folder.

        Raises:
            BundleError: a file in it cannot be read.
        """
        left_out = tuple(without)
        total = hashlib.sha256()
        try:
            for path in _paths(folder, left_out):
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                total.update(f"{digest} {path.relative_to(folder).as_posix()}\n".encode())
        except OSError as error:
            raise BundleError(f"`{error.filename}` cannot be read: {error.strerror}.") from None
        return cls(folder, total.hexdigest(), left_out)

    def open(self) -> Path:
        """Returns the folder, for processes of this host.

        Raises:
            BundleError: the folder has changed or is gone.
        """
        if FileTree.of(self.folder, without=self.without).version != self.version:
            raise BundleError(f"the files in `{self.folder}` have changed since the study began.")
        return self.folder

    def pack(self) -> bytes:
        """Returns a compressed archive of all files."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
            for path in _paths(self.folder, self.without):
                archive.add(path, path.relative_to(self.folder).as_posix(), recursive=False)
        return packed.getvalue()


def unpacked(version: str) -> Path | None:
    """Returns the folder into which files of this version were unpacked on this host; None if they were not."""
    folder = own_folder("files", is_cache=True) / version
    return folder if folder.is_dir() else None


def unpack(version: str, packed: bytes) -> Path:
    """Unpacks files to a folder of this host that is named by their hash, unless it exists.

    Raises:
        BundleError: the files cannot be written.
    """
    home = own_folder("files", is_cache=True)
    try:
        make_folder(home)
        _sweep(home)
        beside = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=home))
        try:
            with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
                archive.extractall(beside, filter="data")
            for path in (*beside.rglob("*"), beside):  # the content of an existing folder is not checked again
                if not path.is_symlink():
                    sync(path)
            try:
                beside.rename(home / version)
            except OSError:
                if unpacked(version) is None:  # otherwise another worker of this host has unpacked them
                    raise
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise BundleError(
            f"the bundle's files cannot be unpacked in `{home}`: {error.strerror or error}. Set RBT_RAY_HOME to a "
            f"writable folder."
        ) from None
    return home / version


def _sweep(home: Path) -> None:
    """Remove unfinished folders of killed workers: a running worker began within the hour."""
    oldest = time.time() - ABANDONED_AFTER_S
    for folder in home.glob(f"{_DRAFT}*"):
        with suppress(OSError):
            if folder.lstat().st_mtime < oldest and not folder.is_symlink():
                shutil.rmtree(folder, ignore_errors=True)


def _paths(folder: Path, without: tuple[str, ...]) -> Iterator[Path]:
    return iter(
        sorted(
            path for path in folder.rglob("*") if path.is_file() and path.relative_to(folder).parts[0] not in without
        )
    )
