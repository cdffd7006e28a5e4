"""How many bytes the record batches of an Arrow IPC file take once they are decompressed, without decompressing them.

Each compressed buffer begins with its size. Where the buffers are stands in flatbuffers, which pyarrow does not show.
Source: the Arrow columnar format, "IPC File Format" and "RecordBatch message", and ``File.fbs`` and ``Message.fbs``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

_MAGIC = b"ARROW1"
_FOOTER_DICTIONARIES, _FOOTER_BATCHES = 2, 3
_MESSAGE_KIND, _MESSAGE_HEADER = 1, 2
_DICTIONARY_BATCH, _DICTIONARY_DATA = 2, 1
_BATCH_BUFFERS, _BATCH_COMPRESSION = 2, 3
_BLOCK, _BUFFER = struct.Struct("<qi4xq"), struct.Struct("<qq")
_AS_IT_IS = -1
"""Stands instead of a size before a buffer that was left uncompressed."""


def decompressed(file: Any) -> int:
    """The bytes of all buffers of a file, as `pyarrow.ipc` would allocate them.

    Args:
        file: the whole file as something of bytes, such as a `mmap`.

    Raises:
        ValueError: it is no Arrow IPC file, or it is damaged.
    """
    try:
        return sum(_batch_bytes(file, block) for block in _blocks(file))
    except (struct.error, IndexError) as error:
        raise ValueError("it is cut off, or damaged") from error


def _blocks(file: Any) -> Iterator[tuple[int, int, int]]:
    """Offset, bytes of metadata and bytes of the body of each message that the footer lists."""
    end = len(file) - len(_MAGIC) - 4
    if end < 0 or file[end + 4 :] != _MAGIC:
        raise ValueError("it does not end as Arrow files do")
    (size,) = struct.unpack_from("<i", file, end)
    if not 0 < size <= end:
        raise ValueError("its footer has no possible size")
    footer = _root(file[end - size : end])
    for field in (_FOOTER_DICTIONARIES, _FOOTER_BATCHES):
        for offset, metadata, body in footer.structs(field, _BLOCK):
            if not 0 <= offset <= end or not 0 <= metadata <= end or not 0 <= body <= end:
                raise ValueError("its footer leads out of the file")
            yield offset, metadata, body


def _batch_bytes(file: Any, block: tuple[int, int, int]) -> int:
    offset, size, body_size = block
    data = file[offset : offset + size]
    prefix = 8 if data[:4] == b"\xff\xff\xff\xff" else 4  # files before Arrow 0.15 have no continuation marker
    message = _root(data[prefix:])
    batch = message.table(_MESSAGE_HEADER)
    if batch is not None and message.byte(_MESSAGE_KIND) == _DICTIONARY_BATCH:
        batch = batch.table(_DICTIONARY_DATA)
    if batch is None:
        return 0
    if batch.table(_BATCH_COMPRESSION) is None:
        return body_size
    total = 0
    for start, length in batch.structs(_BATCH_BUFFERS, _BUFFER):
        if length > 0:
            (bytes_out,) = struct.unpack_from("<q", file, offset + size + start)
            total += length if bytes_out == _AS_IT_IS else max(bytes_out, 0)
    return total


def _root(data: bytes) -> _Table:
    return _Table(data, struct.unpack_from("<I", data, 0)[0])


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of a flatbuffer.

    Args:
        data: the whole flatbuffer.
        at: where the table begins.
    """

    data: bytes
    at: int

    def table(self, field: int) -> _Table | None:
        """The table that a field refers to; None where it is absent."""
        place = self._place(field)
        return None if place is None else _Table(self.data, place + self._offset(place))

    def byte(self, field: int) -> int:
        """A field of one byte; 0 where it is absent."""
        place = self._place(field)
        return 0 if place is None else self.data[place]

    def structs(self, field: int, layout: struct.Struct) -> Sequence[tuple[int, ...]]:
        """A vector of structs."""
        place = self._place(field)
        if place is None:
            return []
        start = place + self._offset(place)
        (count,) = struct.unpack_from("<I", self.data, start)
        end = start + 4 + count * layout.size
        if end > len(self.data):
            raise ValueError("a list in it is longer than it is itself")
        return list(layout.iter_unpack(self.data[start + 4 : end]))

    def _place(self, field: int) -> int | None:
        vtable = self.at - struct.unpack_from("<i", self.data, self.at)[0]
        entry = 4 + 2 * field
        if vtable < 0 or entry >= struct.unpack_from("<H", self.data, vtable)[0]:
            return None
        (offset,) = struct.unpack_from("<H", self.data, vtable + entry)
        return self.at + offset if offset else None

    def _offset(self, place: int) -> int:
        return int(struct.unpack_from("<I", self.data, place)[0])
