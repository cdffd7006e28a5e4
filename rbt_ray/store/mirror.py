"""A copy of a study's journal at a URI of `pyarrow.fs`: S3, Google Cloud Storage, Azure, HDFS, a shared folder.

The journal only grows, and so does its mirror: ``events-<number of the first>.arrow`` each hold some events, the last of
them is written again as it grows, and from about 4 MB on another begins. What a look costs so follows from what is new,
however long the journal is. Every object is written at once: by one put where the store makes that whole or nothing,
else beside its place and moved there. Each holds the digest of all events before its own, so that two histories
can never be read as one.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rbt_ray.errors import JournalError, SettingError
from rbt_ray.private_files import create, sync
from rbt_ray.store.journal_file import Row, check_meta, checked, definition_of
from rbt_ray.store.uri import with_patience, without_secrets

SEGMENT_BYTES = 4 * 2**20
_COLUMNS = ("kind", "header", "body", "seal")
_PUT_IS_ATOMIC = ("s3", "gcs")
_SEGMENT = re.compile(r"events-(\d{12})\.arrow")


@dataclass(frozen=True, slots=True)
class Segment:
    """Some events of a journal.

    Args:
        first: the number of the first of them.
        before: the digest of all events before it.
        meta: the journal's format and the study's definition.
        rows: the events.
    """

    first: int
    before: str
    meta: dict[str, str]
    rows: list[Row]

    @property
    def last(self) -> int:
        """The number of the last event, or of the one before where there are none."""
        return self.first + len(self.rows) - 1

    @property
    def definition(self) -> dict[str, Any]:
        """The study's definition."""
        return definition_of(self.meta, "the mirror")


class Mirror:
    """What lies at a study's URI.

    Args:
        uri: as `pyarrow.fs.FileSystem.from_uri` takes it.

    Raises:
        SettingError: here and in every method: the URI cannot be understood, reached, read or written.
    """

    def __init__(self, uri: str) -> None:
        self.shown = without_secrets(uri)
        with self._said("is no URI that can be used"):
            from pyarrow import fs

            self._fs, self._base = fs.FileSystem.from_uri(with_patience(uri))

    def firsts(self) -> list[int]:
        """The numbers at which its segments begin, ascending."""
        from pyarrow import fs

        with self._said("cannot be reached"):
            found = self._fs.get_file_info(fs.FileSelector(self._base, allow_not_found=True))
        return sorted(int(match[1]) for info in found if (match := _SEGMENT.fullmatch(info.base_name)))

    def read(self, first: int) -> Segment:
        """The segment that begins with that event."""
        import pyarrow as pa

        packed = self.get(_name(first))
        if packed is None:
            raise SettingError(f"{self.shown} is damaged: {_name(first)} is missing.")
        try:
            table = pa.ipc.open_file(pa.py_buffer(packed)).read_all()
            table.validate(full=True)
            header = json.loads(table.schema.metadata[b"rbt_ray"])
            check_meta(header["meta"], f"{self.shown}, {_name(first)}")
            columns = zip(*(table[name].to_pylist() for name in _COLUMNS), strict=True)
            rows = [checked(True, first + at, row, f"{self.shown}, {_name(first)}") for at, row in enumerate(columns)]
            return Segment(first, header["before"], header["meta"], rows)
        except (
            pa.ArrowException,
            OSError,
            LookupError,
            ValueError,
            TypeError,
            AttributeError,
            RecursionError,
        ) as error:
            raise JournalError(f"{self.shown} is damaged: {_name(first)}: {_brief(error)}.") from error

    def write(self, segment: Segment) -> None:
        """Puts a segment in its place, over a shorter one that began with the same event."""
        import pyarrow as pa

        header = {"first": segment.first, "before": segment.before, "meta": segment.meta}
        schema = pa.schema(
            list(zip(_COLUMNS, (pa.string(), pa.string(), pa.binary(), pa.int64()), strict=True)),
            metadata={"rbt_ray": json.dumps(header)},
        )
        columns = zip(*segment.rows, strict=True) if segment.rows else ((),) * len(_COLUMNS)
        table = pa.table([list(column) for column in columns], schema=schema)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            writer.write_table(table)
        self.put(_name(segment.first), sink.getvalue().to_pybytes())

    def remove(self, name: str) -> None:
        """Removes an object, if it is there."""
        with self._said("cannot be written"):
            try:
                self._fs.delete_file(self._at(name))
            except FileNotFoundError:
                return

    def remove_segment(self, first: int) -> None:
        """Removes the segment that begins with that event."""
        self.remove(_name(first))

    def get(self, name: str) -> bytes | None:
        """An object's content; None where there is none of that name."""
        with self._said("cannot be read"):
            try:
                with self._fs.open_input_file(self._at(name)) as source:
                    content: bytes = source.read()
                    return content
            except FileNotFoundError:
                return None

    def put(self, name: str, content: bytes) -> None:
        """Writes an object, whole or not at all."""
        with self._placed(name) as path, self._fs.open_output_stream(path) as sink:
            sink.write(content)

    def upload(self, file: Path) -> None:
        """Writes a file under its own name."""
        from pyarrow import fs

        with self._placed(file.name) as path:
            fs.copy_files(str(file), path, fs.LocalFileSystem(), self._fs)

    def has(self, name: str) -> bool:
        """Whether there is an object of that name."""
        from pyarrow import fs

        with self._said("cannot be reached"):
            return bool(self._fs.get_file_info(self._at(name)).type == fs.FileType.File)

    def download(self, file: Path) -> None:
        """Fetches a file by its name."""
        from pyarrow import fs

        draft = file.with_name(f".{file.name}.new")
        draft.unlink(missing_ok=True)
        os.close(create(draft))  # what is copied into it stays private
        with self._said("cannot be read"):
            fs.copy_files(self._at(file.name), str(draft), self._fs, fs.LocalFileSystem())
        sync(draft)
        draft.replace(file)
        sync(file.parent)

    def _at(self, name: str) -> str:
        return f"{self._base}/{name}"

    @contextmanager
    def _placed(self, name: str) -> Iterator[str]:
        """Where to write an object so that it appears whole, by its name, when the block ends."""
        with self._said("cannot be written"):
            if self._fs.type_name in _PUT_IS_ATOMIC:
                yield self._at(name)
                return
            self._fs.create_dir(self._base, recursive=True)
            yield self._at(f".{name}.new")
            is_local = self._fs.type_name == "local"
            if is_local:
                sync(Path(self._at(f".{name}.new")))
            self._fs.move(self._at(f".{name}.new"), self._at(name))
            if is_local:
                sync(Path(self._base))

    @contextmanager
    def _said(self, what: str) -> Iterator[None]:
        import pyarrow as pa

        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise SettingError(f"{self.shown} {what}: {_brief(error)}.") from error


def _name(first: int) -> str:
    return f"events-{first:012d}.arrow"


def _brief(error: BaseException) -> str:
    """One line of what a library says, without secrets and its own full stop."""
    text = without_secrets(" ".join((str(error) or type(error).__name__).split())).rstrip(".")
    return text if len(text) <= 300 else f"{text[:300]}..."
