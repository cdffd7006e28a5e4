"""A copy of a study's journal at a URI: S3, Google Cloud Storage, Azure, HDFS, a shared folder, or another storage.

The journal only grows, and so does its mirror: the segments ``events-<number of the first>.arrow`` hold some events each.
The last segment is written again as it grows; above about 4 MB a new one begins. So the cost of a sync depends on the new
events, not on the length of the journal. Every object is written atomically: by one put if the store makes that atomic,
else under another name and then moved. Each segment holds the digest of all earlier events, so that two histories cannot be
read as one.
"""

from __future__ import annotations

import json
import re
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rbt_ray.errors import JournalError, SettingError
from rbt_ray.private_files import replacing
from rbt_ray.store.segment import MOST_BYTES, Segment, pack, unpack
from rbt_ray.store.storage import MAX_OBJECTS, open_storage, with_retry_limit, without_secrets

_SEGMENT = re.compile(r"events-(\d{12})\.arrow", re.ASCII)
_KEPT_FREE = 64 * 2**20
_CONTINUED = 0xFFFFFFFF
_BYTES_AT_ONCE = 4 * 2**20
_MAX_HEAD = 64 * 2**20
_PADDING = 64  # bytes, at most, after each column
_BYTES_OF_A_NUMBER = 8


class Mirror:
    """The objects at a study's URI. Others may write there too, so sizes are checked before anything is read.

    Args:
        uri: see `storage.open_storage`.

    Raises:
        SettingError: the URI cannot be parsed, reached, read or written; every method raises it, too.
    """

    def __init__(self, uri: str) -> None:
        self.display_name = without_secrets(uri)
        with self._explaining_errors("is no URI that can be used"):
            self._storage = open_storage(with_retry_limit(uri))

    def segment_starts(self) -> list[int]:
        """Returns the number of the first event of each segment, ascending."""
        return sorted(int(match[1]) for name in self._names() if (match := _SEGMENT.fullmatch(name)))

    def read(self, first: int) -> Segment:
        """Reads the segment that begins with an event."""
        name = _name(first)
        packed = self.get(name, MOST_BYTES)
        if packed is None:
            raise SettingError(f"{self.display_name} is damaged: {name} is missing.")
        with self._explaining_damage(name):
            return unpack(packed, first, f"{self.display_name}, {name}")

    def write(self, segment: Segment) -> None:
        """Writes a segment; it replaces a shorter one that began with the same event."""
        self.put(_name(segment.first), pack(segment))

    def remove(self, name: str) -> None:
        """Removes an object if it exists."""
        with self._explaining_errors("cannot be written"):
            self._storage.remove(name)

    def remove_segment(self, first: int) -> None:
        """Removes the segment that begins with an event."""
        self.remove(_name(first))

    def get(self, name: str, at_most: int) -> bytes | None:
        """Returns the content of an object; None if there is no object of that name.

        Raises:
            JournalError: the object has more than `at_most` bytes.
        """
        with self._explaining_errors("cannot be read"):
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
        """Writes an object atomically."""
        with self._explaining_errors("cannot be written"):
            self._storage.put(name, content)

    def upload(self, file: Path) -> None:
        """Writes a file under its own name."""
        with self._explaining_errors("cannot be written"):
            self._storage.upload(file.name, file)

    def has(self, name: str) -> bool:
        """Returns whether there is an object of that name."""
        return name in self._names()

    def download_bundle(self, file: Path, wanted: dict[str, Any]) -> None:
        """Downloads the study's own bundle, the object with the file's name.

        Args:
            file: the path to write.
            wanted: the bundle in the study's definition: its `version` and `n_bars`.

        Raises:
            JournalError: the object is not that bundle.
        """
        with (
            self._explaining_errors("cannot be read"),
            self._storage.open(file.name) as (source, n_bytes),
            self._explaining_damage(file.name),
        ):
            fetch(source, n_bytes, file, wanted)

    def remove_drafts(self) -> None:
        """Removes unfinished objects that killed drivers left more than an hour ago."""
        with self._explaining_errors("cannot be written"):
            self._storage.remove_drafts()

    def _names(self) -> list[str]:
        with self._explaining_errors("cannot be reached"):
            names = self._storage.names()
        if len(names) > MAX_OBJECTS:
            raise SettingError(
                f"{self.display_name} holds more than {MAX_OBJECTS:,} objects, which no mirror of a study does. Move the objects that "
                f"are not the study's to another place."
            )
        return names

    @contextmanager
    def _explaining_damage(self, name: str) -> Iterator[None]:
        try:
            yield
        except SettingError:
            raise
        except ValueError as error:
            raise JournalError(f"{self.display_name} is damaged: {name}: {_brief(error)}.") from error

    @contextmanager
    def _explaining_errors(self, what: str) -> Iterator[None]:
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
    """Returns the message of a library's error in one line, without secrets and its final period."""
    text = without_secrets(" ".join((str(error) or type(error).__name__).split())).rstrip(".")
    return text if len(text) <= 300 else f"{text[:300]}..."


def check_free(folder: Path, needed: int) -> None:
    """Checks that a disk has enough free space.

    Args:
        folder: a folder on the disk.
        needed: the bytes to write.

    Raises:
        SettingError: less than 64 MiB would be left.
    """
    free = shutil.disk_usage(folder).free
    if needed + _KEPT_FREE > free:
        raise SettingError(
            f"{needed / 1e9:,.1f} GB would have to be copied to {folder}, and {free / 1e9:,.1f} GB are free there. Free some "
            f"space, or set RBT_RAY_HOME to a folder on another disk."
        )


def fetch(source: Any, n_bytes: int, file: Path, wanted: dict[str, Any]) -> None:
    """Copies a bundle's file if its header and size are those of the bundle that a study needs.

    Args:
        source: the file to read, at its start.
        n_bytes: its size.
        file: the path to write.
        wanted: the bundle in the study's definition: its `version` and `n_bars`.

    Raises:
        ValueError: it is another file, or too large for its header.
        SettingError: it does not fit on the disk.
        OSError: it cannot be read or written.
    """
    start = source.read(16)
    _, continued, n_head = struct.unpack("<8sII", start.ljust(16, b"\0"))
    if start[:6] != b"ARROW1" or continued != _CONTINUED or n_head > _MAX_HEAD:
        raise ValueError("it is no bundle")
    head = source.read(n_head)
    if n_bytes > (most := _max_bytes(head, wanted)):
        raise ValueError(f"it has {n_bytes:,} bytes, and the bundle it names has at most {most:,}")
    check_free(file.parent, n_bytes)
    left = n_bytes - len(start) - len(head)
    with replacing(file) as draft:
        draft.write(start + head)
        while left > 0 and (piece := source.read(min(_BYTES_AT_ONCE, left))):
            draft.write(piece)
            left -= len(piece)
        if left:
            raise ValueError(f"it ends {left:,} bytes early")


def _max_bytes(head: bytes, wanted: dict[str, Any]) -> int:
    """Returns the largest size of a file with this schema."""
    import pyarrow as pa

    try:
        schema = pa.ipc.read_schema(pa.py_buffer(struct.pack("<II", _CONTINUED, len(head)) + head))
        described = json.loads(schema.metadata[b"rbt_ray.bundle"])
        version, n_bars, n_symbols = described["version"], described["n_bars"], len(described["symbols"])
    except (pa.ArrowException, OSError, LookupError, TypeError, RecursionError) as error:
        raise ValueError("it is no bundle") from error
    if type(n_bars) is not int or (version, n_bars) != (wanted.get("version"), wanted.get("n_bars")):
        raise ValueError("it is not the bundle that the study began with")
    columns = 1 + n_symbols * (len(schema) - 1)
    messages = 3 * len(head) + 1024 * len(schema) + 4096  # the schema is repeated at the end of the file
    return int(columns * n_bars * _BYTES_OF_A_NUMBER + len(schema) * _PADDING + messages)
