"""Reads one record batch of an Arrow file after a look at what it takes, since a small file can unpack to any size."""

from __future__ import annotations

import struct
from typing import Any

_MAGIC = b"ARROW1\0\0"
_HEADER, _BUFFERS, _COMPRESSION = 2, 2, 3  # the numbers of fields in Message and in RecordBatch
_PLAIN = -1


def read_batch(content: Any, allowed: int) -> tuple[Any, Any]:
    """The schema and the record batch of a file in Arrow's IPC format; None for the batch of a file without one.

    What is uncompressed in the file is not copied.

    Args:
        content: the file, a `pyarrow.Buffer`.
        allowed: bytes that the batch's buffers may take in all.

    Raises:
        ValueError: the batch takes more, or the file holds something else.
        pyarrow.ArrowException: it is no such file.
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
        takes = _unpacked_bytes(found[0].metadata.to_pybytes(), found[0].body)
    except (struct.error, IndexError, StopIteration, EOFError) as error:
        raise ValueError("its messages cannot be read") from error
    if takes > allowed:
        raise ValueError(
            f"its columns take {takes:,} bytes, more than the {allowed:,} that a file of this size can hold"
        )
    return schema, pa.ipc.read_record_batch(found[0], schema)


def _at_most_two(messages: Any) -> Any:
    for message, _ in zip(messages, range(2), strict=False):
        yield message


def _unpacked_bytes(head: bytes, body: Any) -> int:
    """What a record batch's buffers take in memory: a compressed one begins with its length, -1 if it is plain."""
    (root,) = struct.unpack_from("<I", head)
    batch = _followed(head, _field(head, root, _HEADER))
    buffers = _followed(head, _field(head, batch, _BUFFERS))
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
    """Where a flatbuffer's table has a field; None where it lacks it."""
    vtable = table - struct.unpack_from("<i", head, table)[0]
    (size,) = struct.unpack_from("<H", head, vtable)
    if 4 + 2 * number >= size:
        return None
    (offset,) = struct.unpack_from("<H", head, vtable + 4 + 2 * number)
    return table + offset if offset else None


def _followed(head: bytes, place: int | None) -> int:
    """Where the offset in a field leads."""
    if place is None:
        raise ValueError("its messages cannot be read")
    return place + int(struct.unpack_from("<I", head, place)[0])
