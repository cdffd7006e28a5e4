"""Reads one record batch of an Arrow file, after checking its unpacked size, which is unlimited even for a small file."""

from __future__ import annotations

import struct
from typing import Any

_MAGIC = b"ARROW1\0\0"
_HEADER, _BUFFERS, _COMPRESSION = 2, 2, 3  # field numbers of Message and of RecordBatch
_PLAIN = -1


def read_batch(content: Any, allowed: int) -> tuple[Any, Any]:
    """Returns the schema and the record batch of a file in Arrow's IPC format; None as the batch if there is none.

    Uncompressed buffers are not copied.

    Args:
        content: the file, a `pyarrow.Buffer`.
        allowed: the largest total size of the batch's buffers in bytes.

    Raises:
        ValueError: the batch is larger, or the file holds something else.
        pyarrow.ArrowException: it is not such a file.
    """
    import pyarrow as pa

    if content.slice(0, len(_MAGIC)).to_pybytes() != _MAGIC:
        raise ValueError("it is no Arrow file")
    messages = pa.ipc.MessageReader.open_stream(pa.BufferReader(content.slice(len(_MAGIC))))
    try:
        schema = pa.ipc.read_schema(messages.read_next_message())
        found = list(_at_most_two(messages))
        if not found:
            return schema, None
        if len(found) > 1 or found[0].type != "record batch":
            raise ValueError("it does not hold one record batch")
        size = _unpacked_bytes(found[0].metadata.to_pybytes(), found[0].body)
    except (struct.error, IndexError, StopIteration, EOFError) as error:
        raise ValueError("its messages cannot be read") from error
    if size > allowed:
        raise ValueError(
            f"its columns take {size:,} bytes, more than the {allowed:,} that a file of this size can hold"
        )
    return schema, pa.ipc.read_record_batch(found[0], schema)


def _at_most_two(messages: Any) -> Any:
    for message, _ in zip(messages, range(2), strict=False):
        yield message


def _unpacked_bytes(head: bytes, body: Any) -> int:
    """Returns the size of a record batch's buffers in memory; a compressed buffer begins with its length, or -1 if plain."""
    (root,) = struct.unpack_from("<I", head)
    batch = _target(head, _field(head, root, _HEADER))
    buffers = _target(head, _field(head, batch, _BUFFERS))
    is_packed = _field(head, batch, _COMPRESSION) is not None
    (n,) = struct.unpack_from("<I", head, buffers)
    total = 0
    for at in range(n):
        offset, length = struct.unpack_from("<qq", head, buffers + 4 + 16 * at)
        if is_packed and length > 0:
            (unpacked,) = struct.unpack("<q", body.slice(offset, 8).to_pybytes())
            length = length if unpacked == _PLAIN else unpacked
        if offset < 0 or length < 0:
            raise ValueError("a column of it has no length")
        total += length
    return total


def _field(head: bytes, table: int, number: int) -> int | None:
    """Returns the position of a field in a flatbuffer's table; None if the table lacks it."""
    vtable = table - struct.unpack_from("<i", head, table)[0]
    (size,) = struct.unpack_from("<H", head, vtable)
    if 4 + 2 * number >= size:
        return None
    (offset,) = struct.unpack_from("<H", head, vtable + 4 + 2 * number)
    return table + offset if offset else None


def _target(head: bytes, field: int | None) -> int:
    """Returns the position that the offset in a field points to."""
    if field is None:
        raise ValueError("its messages cannot be read")
    return field + int(struct.unpack_from("<I", head, field)[0])
