"""Reads Arrow IPC files from untrusted sources: checks the decompressed size before decompressing anything.

A small file can decompress to any size. Each compressed buffer begins with its decompressed size, and flatbuffers, which
pyarrow does not expose, say where the buffers are.
Source: the Arrow columnar format, "IPC File Format" and "RecordBatch message", and ``File.fbs`` and ``Message.fbs``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

_MAGIC, _PADDED_MAGIC = b"ARROW1", b"ARROW1\0\0"
# Numbers of the fields of Footer, Message, DictionaryBatch and RecordBatch.
_FOOTER_DICTIONARIES, _FOOTER_BATCHES = 2, 3
_MESSAGE_KIND, _MESSAGE_HEADER = 1, 2
_DICTIONARY_DATA = 1
_BATCH_BUFFERS, _BATCH_COMPRESSION = 2, 3
_IS_DICTIONARY = 2  # the kind of a message with a DictionaryBatch
_BLOCK, _BUFFER, _SIZE = struct.Struct("<qi4xq"), struct.Struct("<qq"), struct.Struct("<q")
_NOT_COMPRESSED = -1
"""The size that precedes a buffer which was left uncompressed."""


def read_batch(content: Any, allowed: int) -> tuple[Any, Any]:
    """Returns the schema and the record batch of an Arrow IPC file; None as the batch if the file has none.

    Uncompressed buffers are not copied.

    Args:
        content: the file, a `pyarrow.Buffer`.
        allowed: the largest total size of the batch's buffers, in bytes.

    Raises:
        ValueError: the batch takes more than `allowed`, or the file holds something else.
        pyarrow.ArrowException: it is no Arrow IPC file.
    """
    import pyarrow as pa

    if content.slice(0, len(_PADDED_MAGIC)).to_pybytes() != _PADDED_MAGIC:
        raise ValueError("it is no Arrow file")
    messages = pa.ipc.MessageReader.open_stream(pa.BufferReader(content.slice(len(_PADDED_MAGIC))))
    try:
        schema = pa.ipc.read_schema(messages.read_next_message())
        found = list(islice(messages, 2))
        if not found:
            return schema, None
        if len(found) > 1 or found[0].type != "record batch":
            raise ValueError("it does not hold one record batch")
        body = found[0].body
        size = _decompressed(
            _root(found[0].metadata.to_pybytes()), lambda start: body.slice(start, _SIZE.size).to_pybytes()
        )
    except (struct.error, IndexError, StopIteration, EOFError) as error:
        raise ValueError("its messages cannot be read") from error
    if size > allowed:
        raise ValueError(
            f"its columns take {size:,} bytes, more than the {allowed:,} that a file of this size can hold"
        )
    return schema, pa.ipc.read_record_batch(found[0], schema)


def decompressed_bytes(file: Any) -> int:
    """Returns how many bytes `pyarrow.ipc` would allocate for the buffers of all record batches and dictionaries.

    Args:
        file: the whole file as bytes, or as an object that is sliced like bytes, such as a `mmap`.

    Raises:
        ValueError: it is no Arrow IPC file, or it is damaged.
    """
    try:
        return sum(_message_bytes(file, *block) for block in _blocks(file))
    except (struct.error, IndexError) as error:
        raise ValueError("it is cut off, or damaged") from error


def _blocks(file: Any) -> Iterator[tuple[int, int]]:
    """Yields the offset and the size of the metadata of each message that the footer lists."""
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
            yield offset, metadata


def _message_bytes(file: Any, offset: int, size: int) -> int:
    data = file[offset : offset + size]
    prefix = 8 if data[:4] == b"\xff\xff\xff\xff" else 4  # files before Arrow 0.15 have no continuation marker
    body = offset + size
    return _decompressed(_root(data[prefix:]), lambda start: file[body + start : body + start + _SIZE.size])


def _decompressed(message: _Table, read_size: Callable[[int], bytes]) -> int:
    """Returns the decompressed size of a message's buffers, in bytes.

    Args:
        message: with a record batch or a dictionary.
        read_size: returns the 8 bytes at an offset in the message's body.
    """
    batch = message.table(_MESSAGE_HEADER)
    if batch is not None and message.byte(_MESSAGE_KIND) == _IS_DICTIONARY:
        batch = batch.table(_DICTIONARY_DATA)
    if batch is None:
        raise ValueError("its messages cannot be read")
    is_compressed = batch.table(_BATCH_COMPRESSION) is not None
    total = 0
    for offset, length in batch.structs(_BATCH_BUFFERS, _BUFFER):
        size = length
        if is_compressed and length > 0:
            (declared,) = _SIZE.unpack(read_size(offset))
            size = length if declared == _NOT_COMPRESSED else declared
        if offset < 0 or size < 0:
            raise ValueError("a column of it has no length")
        total += size
    return total


def _root(data: bytes) -> _Table:
    return _Table(data, struct.unpack_from("<I", data, 0)[0])


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of a flatbuffer.

    Args:
        data: the whole flatbuffer.
        at: the position of the table in it.
    """

    data: bytes
    at: int

    def table(self, field: int) -> _Table | None:
        """Returns the table that a field refers to; None if the field is absent."""
        position = self._position(field)
        return None if position is None else _Table(self.data, position + self._offset(position))

    def byte(self, field: int) -> int:
        """Returns a field of one byte; 0 if it is absent."""
        position = self._position(field)
        return 0 if position is None else self.data[position]

    def structs(self, field: int, layout: struct.Struct) -> Sequence[tuple[int, ...]]:
        """Returns a vector of structs; empty if the field is absent."""
        position = self._position(field)
        if position is None:
            return []
        start = position + self._offset(position)
        (count,) = struct.unpack_from("<I", self.data, start)
        end = start + 4 + count * layout.size
        if end > len(self.data):
            raise ValueError("a list in it is longer than it is itself")
        return list(layout.iter_unpack(self.data[start + 4 : end]))

    def _position(self, field: int) -> int | None:
        vtable = self.at - struct.unpack_from("<i", self.data, self.at)[0]
        entry = 4 + 2 * field
        if vtable < 0 or entry >= struct.unpack_from("<H", self.data, vtable)[0]:
            return None
        (offset,) = struct.unpack_from("<H", self.data, vtable + entry)
        return self.at + offset if offset else None

    def _offset(self, position: int) -> int:
        return int(struct.unpack_from("<I", self.data, position)[0])
