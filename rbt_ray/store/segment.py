"""Segments of a mirror: some events of a journal as one Arrow file.

A file of a few kilobytes can unpack to gigabytes. So a file may unpack to 128 MB or to 16 times its size, whichever is
more, and `pack` does not compress events that would exceed this.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from rbt_ray.arrow_messages import read_batch
from rbt_ray.store.journal_file import Row, check_meta, definition_of, verified_row

SEGMENT_BYTES = 4 * 2**20
MOST_BYTES = 2**30
"""A segment ends with the event that reaches `SEGMENT_BYTES`, and a row of SQLite has at most 1e9 bytes."""
_FREELY_UNPACKED, _MOST_RATIO = 128 * 2**20, 16
_MOST_ROWS = SEGMENT_BYTES // 4  # an event takes at least four bytes
_COLUMNS = ("kind", "header", "body", "seal")


@dataclass(frozen=True, slots=True)
class Segment:
    """Some consecutive events of a journal.

    Args:
        first: the number of the first event.
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
        """The number of the last event; of the one before `first` if there are no events."""
        return self.first + len(self.rows) - 1

    @property
    def definition(self) -> dict[str, Any]:
        """The study's definition."""
        return definition_of(self.meta, "the mirror")

    @property
    def n_bytes(self) -> int:
        """The approximate number of bytes that the events take."""
        return sum(len(header) + len(body or b"") for _, header, body, _ in self.rows)


def pack(segment: Segment) -> bytes:
    """The segment as an Arrow file."""
    import pyarrow as pa

    header = {"first": segment.first, "before": segment.before, "n": len(segment.rows), "meta": segment.meta}
    schema = _schema().with_metadata({"rbt_ray": json.dumps(header)})
    columns = zip(*segment.rows, strict=True) if segment.rows else ((),) * len(_COLUMNS)
    table = pa.table([list(column) for column in columns], schema=schema)
    packed = _written(table, "zstd")
    return packed if table.nbytes <= _allowed(len(packed)) else _written(table, None)


def unpack(packed: bytes, first: int, what: str) -> Segment:
    """The segment in an Arrow file, with every event unchanged.

    Args:
        packed: the file.
        first: the number of its first event.
        what: how an error names it.

    Raises:
        ValueError: it is damaged, or takes more memory than a segment can.
        JournalError: an event, or the definition, is not as it was written.
    """
    import pyarrow as pa

    try:
        schema, batch = read_batch(pa.py_buffer(packed), _allowed(len(packed)))
        if not schema.equals(_schema()):
            raise ValueError("its columns are not those of events")
        before, meta = _described(schema, what)
        n_rows = 0 if batch is None else batch.num_rows
        if n_rows > _MOST_ROWS:
            raise ValueError(
                f"it holds {n_rows:,} events, more than the {_MOST_ROWS:,} that a file of this size can hold"
            )
        _check_number(schema, n_rows)
        if batch is None:
            return Segment(first, before, meta, [])
        batch.validate(full=True)
        columns = zip(*(column.to_pylist() for column in batch.columns), strict=True)
        return Segment(
            first, before, meta, [verified_row(True, first + at, row, what) for at, row in enumerate(columns)]
        )
    except (pa.ArrowException, OSError, LookupError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(str(error) or type(error).__name__) from error


def _described(schema: Any, what: str) -> tuple[str, dict[str, str]]:
    header = json.loads(schema.metadata[b"rbt_ray"])
    before, meta = header["before"], header["meta"]
    if not (
        isinstance(before, str) and isinstance(meta, dict) and all(isinstance(text, str) for text in meta.values())
    ):
        raise ValueError("its header has values of other types")
    check_meta(meta, what)
    definition_of(meta, what)
    return before, meta


def _check_number(schema: Any, n_rows: int) -> None:
    """Checks the number of events, of which Arrow reads fewer if a length is damaged. Files of earlier versions lack it."""
    expected = json.loads(schema.metadata[b"rbt_ray"]).get("n", n_rows)
    if expected != n_rows:
        raise ValueError(f"it holds {n_rows:,} events, and its header says {expected}")


def _allowed(n_bytes: int) -> int:
    """Returns how many bytes a file of `n_bytes` may take when it is unpacked."""
    return min(MOST_BYTES, max(_FREELY_UNPACKED, _MOST_RATIO * n_bytes))


def _schema() -> Any:
    import pyarrow as pa

    return pa.schema(list(zip(_COLUMNS, (pa.string(), pa.string(), pa.binary(), pa.int64()), strict=True)))


def _written(table: Any, compression: str | None) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content
