"""The storages that hold the mirror of a study: folders, object stores, and those of other installed packages; and their URIs.

In a folder of this machine every open refuses links, and a draft has a random name, because other users may write there.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from rbt_ray import plugins, private_files
from rbt_ray.private_files import ABANDONED_AFTER_S, DRAFT_PREFIX, draft_path, open_regular, own_folder, replacing

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # two letters or more: one letter is a drive of Windows
_USER = re.compile(
    r"([A-Za-z][\w+.-]*:)?//([^/?@\s]*@|[^?\s]*:[^?\s]*@)"
)  # a key with a slash is invalid, and still secret
_QUERY = re.compile(r"([?&])([\w.-]+)=([^&\s]*)")
_SHOWN = (
    "region", "scheme", "endpoint_override", "retry_limit_seconds", "allow_bucket_creation", "allow_bucket_deletion",
    "blob_storage_authority", "dfs_storage_authority", "tls", "anonymous",
)  # fmt: skip
"""Query parameters that may be shown; any other may be a key or a signature."""
_GOOGLE = ("gs", "gcs")
_GOOGLE_RETRY_LIMIT = "retry_limit_seconds=30"  # the library's own is 15 minutes
STORAGES = "rbt_ray.storages"
"""The group of entry points: the name is the scheme of a URI, the object a function of the URI that returns a `Storage`."""
MAX_OBJECTS = 200_000
"""More than the mirror of a study ever holds: at 4 MB each they would be 800 GB."""
_PUT_IS_ATOMIC = ("s3", "gcs")
_SHARED_MODE = 0o666  # less the umask: a mirror has the permissions of its folder


def is_uri(path: str | Path) -> bool:
    """Returns whether it is a URI rather than a path."""
    return isinstance(path, str) and _URI.match(path) is not None


def child(uri: str, name: str) -> str:
    """Appends a name to the path of a URI; a query stays at the end."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}"))


def without_secrets(text: str) -> str:
    """Removes users, passwords, keys and signatures from a URI, or from a message with URIs."""
    return _QUERY.sub(_shown_value, _USER.sub(_without_user, text))


def _without_user(found: re.Match[str]) -> str:
    scheme, user = found[1] or "", found[2]
    is_container = scheme.startswith("abfs") and ":" not in user  # Azure writes the container before the account
    return found[0] if is_container else f"{scheme}//"


def _shown_value(found: re.Match[str]) -> str:
    return found[0] if found[2] in _SHOWN else f"{found[1]}{found[2]}=..."


def with_retry_limit(uri: str) -> str:
    """Adds a retry limit to the URI if the default of its library is too long."""
    parts = urlsplit(uri)
    if parts.scheme not in _GOOGLE or "retry_limit_seconds" in parts.query:
        return uri
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, _GOOGLE_RETRY_LIMIT)))))


def local_folder(uri: str) -> Path:
    """Returns the folder of this machine for the journal that is mirrored at a URI.

    It is ``<home>/studies/<name>-<digest of the URI>``. The home is `RBT_RAY_HOME`, else the user's data folder. It has to be
    on a local disk, because SQLite's write-ahead log is unsafe on shared folders.
    """
    shown = without_secrets(uri).rstrip("/")
    name = urlsplit(uri).path.rstrip("/").rpartition("/")[2]
    return own_folder("studies") / f"{name}-{hashlib.sha256(shown.encode()).hexdigest()[:12]}"


class Storage(Protocol):
    """The objects below one URI. Every method raises OSError or a `pyarrow.ArrowException` if it fails."""

    def names(self) -> list[str]:
        """Returns the names of all objects, or of the first `MAX_OBJECTS` + 1."""
        ...

    @contextmanager
    def open(self, name: str) -> Iterator[tuple[Any, int]]:
        """Opens an object: a binary file to read from, and its size in bytes; FileNotFoundError if there is none."""
        ...

    def put(self, name: str, content: bytes) -> None:
        """Writes an object, whole or not at all."""
        ...

    def upload(self, name: str, file: Path) -> None:
        """Writes a file's content as an object, whole or not at all."""
        ...

    def remove(self, name: str) -> None:
        """Removes an object if it exists."""
        ...

    def remove_drafts(self) -> None:
        """Removes unfinished objects that killed processes left more than an hour ago."""
        ...


def open_storage(uri: str) -> Storage:
    """Opens the storage at a URI: a built-in one, else the entry point named as the URI's scheme.

    Raises:
        InputError: the entry point cannot be imported.
        OSError, pyarrow.ArrowException: the URI cannot be used.
    """
    scheme = urlsplit(uri).scheme
    opener: Callable[[str], Storage] = _BUILT_IN.get(scheme) or plugins.load(STORAGES, scheme) or _open_with_arrow
    return opener(uri)


def _open_with_arrow(uri: str) -> Storage:
    from pyarrow import fs

    system, base = fs.FileSystem.from_uri(uri)
    return FolderStorage(Path(base)) if system.type_name == "local" else ArrowStorage(system, base)


_BUILT_IN = dict.fromkeys(("abfs", "abfss", "file", "gcs", "gs", "hdfs", "s3", "viewfs"), _open_with_arrow)


class FolderStorage:
    """The files in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        """See `Storage`."""
        self._refuse_link()
        try:
            with os.scandir(self._folder) as entries:
                return [entry.name for entry in itertools.islice(entries, MAX_OBJECTS + 1)]
        except FileNotFoundError:
            return []

    @contextmanager
    def open(self, name: str) -> Iterator[tuple[Any, int]]:
        """See `Storage`."""
        self._refuse_link()
        with open_regular(self._folder / name, follow=False) as file:
            yield file, os.fstat(file.fileno()).st_size

    def put(self, name: str, content: bytes) -> None:
        """See `Storage`."""
        with self._replacing(name) as file:
            file.write(content)

    def upload(self, name: str, file: Path) -> None:
        """See `Storage`."""
        with open_regular(file) as source, self._replacing(name) as sink:
            shutil.copyfileobj(source, sink, 2**20)

    def remove(self, name: str) -> None:
        """See `Storage`."""
        self._refuse_link()
        (self._folder / name).unlink(missing_ok=True)

    def remove_drafts(self) -> None:
        """See `Storage`."""
        self._refuse_link()
        private_files.remove_abandoned_drafts(self._folder)

    @contextmanager
    def _replacing(self, name: str) -> Iterator[Any]:
        self._refuse_link()
        self._folder.mkdir(parents=True, exist_ok=True)
        with replacing(self._folder / name, mode=_SHARED_MODE, flush=False) as file:
            yield file

    def _refuse_link(self) -> None:
        if self._folder.is_symlink():
            raise OSError(errno.ELOOP, "it is a link; name the folder that it leads to", str(self._folder))


class ArrowStorage:
    """The objects of any other file system of pyarrow."""

    def __init__(self, system: Any, base: str) -> None:
        self._fs, self._base = system, base

    def names(self) -> list[str]:
        """See `Storage`."""
        return [info.base_name for info in self._infos()]

    @contextmanager
    def open(self, name: str) -> Iterator[tuple[Any, int]]:
        """See `Storage`."""
        with self._fs.open_input_file(self._at(name)) as source:
            yield source, source.size()

    def put(self, name: str, content: bytes) -> None:
        """See `Storage`."""
        with self._replacing(name) as path, self._fs.open_output_stream(path) as sink:
            sink.write(content)

    def upload(self, name: str, file: Path) -> None:
        """See `Storage`."""
        from pyarrow import fs

        with self._replacing(name) as path:
            fs.copy_files(str(file), path, fs.LocalFileSystem(), self._fs)

    def remove(self, name: str) -> None:
        """See `Storage`."""
        with suppress(FileNotFoundError):
            self._fs.delete_file(self._at(name))

    def remove_drafts(self) -> None:
        """See `Storage`."""
        if self._fs.type_name in _PUT_IS_ATOMIC:
            return
        newest = time.time() - ABANDONED_AFTER_S
        for info in self._infos():
            if info.base_name.startswith(DRAFT_PREFIX) and info.mtime_ns is not None and info.mtime_ns / 1e9 <= newest:
                self.remove(info.base_name)

    def _infos(self) -> list[Any]:
        from pyarrow import fs

        return list(self._fs.get_file_info(fs.FileSelector(self._base, allow_not_found=True)))

    def _at(self, name: str) -> str:
        return f"{self._base}/{name}"

    @contextmanager
    def _replacing(self, name: str) -> Iterator[str]:
        """The path to write an object to; the object appears under its name when the block ends."""
        if self._fs.type_name in _PUT_IS_ATOMIC:
            yield self._at(name)
            return
        self._fs.create_dir(self._base, recursive=True)
        draft = self._at(draft_path(Path(name)).name)
        try:
            yield draft
            self._fs.move(draft, self._at(name))
        except BaseException:
            with suppress(OSError):
                self._fs.delete_file(draft)
            raise
