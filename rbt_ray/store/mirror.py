"""A copy of a study's journal at a URI of `pyarrow.fs`: S3, Google Cloud Storage, Azure, HDFS, a shared folder.

The journal only grows, and so does its mirror: ``events-<number of the first>.arrow`` each hold some events, the last of
them is written again as it grows, and from about 4 MB on another begins. What a look costs so follows from what is new,
however long the journal is. Every object is written at once: by one put where the store makes that whole or nothing,
else beside its place and moved there. Each holds the digest of all events before its own, so that two histories
can never be read as one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rbt_ray.errors import JournalError, SettingError
from rbt_ray.store.own_bundle import fetch
from rbt_ray.store.segment import MOST_BYTES, Segment, pack, unpack
from rbt_ray.store.storage import MAX_OBJECTS, open_storage
from rbt_ray.store.uri import with_retry_limit, without_secrets

_SEGMENT = re.compile(r"events-(\d{12})\.arrow", re.ASCII)


class Mirror:
    """What lies at a study's URI, where others may write as well: sizes are looked at before anything is read.

    Args:
        uri: as `pyarrow.fs.FileSystem.from_uri` takes it.

    Raises:
        SettingError: here and in every method: the URI cannot be understood, reached, read or written.
    """

    def __init__(self, uri: str) -> None:
        self.display_name = without_secrets(uri)
        with self._said("is no URI that can be used"):
            self._storage = open_storage(with_retry_limit(uri))

    def segment_starts(self) -> list[int]:
        """The numbers at which its segments begin, ascending."""
        return sorted(int(match[1]) for name in self._names() if (match := _SEGMENT.fullmatch(name)))

    def read(self, first: int) -> Segment:
        """The segment that begins with that event."""
        name = _name(first)
        packed = self.get(name, MOST_BYTES)
        if packed is None:
            raise SettingError(f"{self.display_name} is damaged: {name} is missing.")
        with self._understood(name):
            return unpack(packed, first, f"{self.display_name}, {name}")

    def write(self, segment: Segment) -> None:
        """Puts a segment in its place, over a shorter one that began with the same event."""
        self.put(_name(segment.first), pack(segment))

    def remove(self, name: str) -> None:
        """Removes an object, if it is there."""
        with self._said("cannot be written"):
            self._storage.remove(name)

    def remove_segment(self, first: int) -> None:
        """Removes the segment that begins with that event."""
        self.remove(_name(first))

    def get(self, name: str, at_most: int) -> bytes | None:
        """An object's content; None where there is none of that name.

        Raises:
            JournalError: it has more bytes than such an object has.
        """
        with self._said("cannot be read"):
            try:
                with self._storage.open(name) as (source, n_bytes):
                    if n_bytes <= at_most:
                        content: bytes = source.read(n_bytes)
                        return content
            except FileNotFoundError:
                return None
        raise JournalError(
            f"{self.display_name} is damaged: {name} has {n_bytes:,} bytes; such an object has at most {at_most:,}."
        )

    def put(self, name: str, content: bytes) -> None:
        """Writes an object, whole or not at all."""
        with self._said("cannot be written"):
            self._storage.put(name, content)

    def upload(self, file: Path) -> None:
        """Writes a file under its own name."""
        with self._said("cannot be written"):
            self._storage.upload(file.name, file)

    def has(self, name: str) -> bool:
        """Whether there is an object of that name."""
        return name in self._names()

    def download_bundle(self, file: Path, wanted: dict[str, Any]) -> None:
        """Fetches the study's own bundle by the file's name.

        Args:
            file: where to write it.
            wanted: of the study's definition: the bundle's `version` and `n_bars`.

        Raises:
            JournalError: the object is not that bundle.
        """
        with (
            self._said("cannot be read"),
            self._storage.open(file.name) as (source, n_bytes),
            self._understood(file.name),
        ):
            fetch(source, n_bytes, file, wanted)

    def remove_drafts(self) -> None:
        """Removes what drivers that were killed more than an hour ago left unfinished."""
        with self._said("cannot be written"):
            self._storage.remove_drafts()

    def _names(self) -> list[str]:
        with self._said("cannot be reached"):
            names = self._storage.names()
        if len(names) > MAX_OBJECTS:
            raise SettingError(
                f"{self.display_name} holds more than {MAX_OBJECTS:,} objects, which no mirror of a study does. Move away what is "
                f"not the study's."
            )
        return names

    @contextmanager
    def _understood(self, name: str) -> Iterator[None]:
        try:
            yield
        except SettingError:
            raise
        except ValueError as error:
            raise JournalError(f"{self.display_name} is damaged: {name}: {_brief(error)}.") from error

    @contextmanager
    def _said(self, what: str) -> Iterator[None]:
        import pyarrow as pa

        try:
            yield
        except SettingError:
            raise
        except (OSError, pa.ArrowException) as error:
            raise SettingError(f"{self.display_name} {what}: {_brief(error)}.") from error


def _name(first: int) -> str:
    return f"events-{first:012d}.arrow"


def _brief(error: BaseException) -> str:
    """One line of what a library says, without secrets and its own full stop."""
    text = without_secrets(" ".join((str(error) or type(error).__name__).split())).rstrip(".")
    return text if len(text) <= 300 else f"{text[:300]}..."
