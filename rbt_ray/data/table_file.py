"""Reads a Parquet, Feather or Arrow file from an untrusted source to a pandas frame."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rbt_ray.arrow_messages import decompressed_bytes
from rbt_ray.data import memory_limit
from rbt_ray.errors import BundleError, RbtError, ResourceError
from rbt_ray.os_errors import explanation

if TYPE_CHECKING:
    import pandas as pd

_PARQUET = (".parquet", ".pq")
_HINT = "Is it damaged? Split a table of prices of that size into several bundles."
_BYTES_A_TEXT = 64
"""Overhead of a Python string, in bytes."""


def read(path: Path) -> pd.DataFrame:
    """Returns the frame in a file that ends in ``.parquet``, ``.pq``, ``.feather``, ``.arrow`` or ``.ipc``.

    Raises:
        BundleError: the file is damaged, of another format, or does not fit in memory.
        ResourceError: the machine has too little memory or file descriptors left to read it.
    """
    suffix = path.suffix.lower()
    try:
        table = _parquet(path) if suffix in _PARQUET else _feather(path)
        table.validate(full=True)  # pandas would follow offsets out of their buffers
        memory_limit.check_bytes(_text_bytes(table), f"`{path.name}`, its texts decoded,", _HINT)
        frame: pd.DataFrame = _decoded(table).to_pandas(use_threads=False)
    except RbtError:
        raise
    except Exception as error:  # what readers raise for damaged files is not documented
        if (why := explanation(error)) is not None:
            raise ResourceError(f"`{path.name}` cannot be read: {why}") from None
        reason = (str(error).splitlines() or ["it is damaged"])[0].rstrip(".")
        raise BundleError(f"`{path.name}` cannot be read as {suffix[1:]}: {reason}.") from None
    return frame


def _parquet(path: Path) -> Any:
    """Returns the table with dictionary-encoded texts: each distinct text is in memory once, as in the file."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        metadata, schema = file.metadata, file.schema_arrow
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    _check(path, schema, metadata.num_rows, metadata.num_columns, sum(group.total_byte_size for group in groups))
    texts = [field.name for field in schema if _is_text(field.type)]
    for position in range(metadata.num_columns):
        column = metadata.schema.column(position)
        if column.physical_type == "BYTE_ARRAY" and any(
            "DELTA_BYTE_ARRAY" in group.column(position).encodings for group in groups
        ):
            raise BundleError(  # a byte of the file can stand for a text of any length that repeats the text before it
                f"`{path.name}`: the texts of `{column.name}` are encoded as DELTA_BYTE_ARRAY, whose decoded size cannot be "
                "checked beforehand. Write the file with the standard encodings, as `DataFrame.to_parquet` does."
            )
    # pyarrow waits forever for threads that it cannot start, for instance if memory is short.
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        return file.read(use_threads=False)


def _feather(path: Path) -> Any:
    import pyarrow as pa
    from pyarrow import feather

    with path.open("rb") as source:
        # Version 1 of Feather is another format, without compression.
        if source.read(6) == b"ARROW1":
            with mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                n_bytes = decompressed_bytes(mapped)
            with pa.memory_map(str(path)) as mapped, pa.ipc.open_file(mapped) as file:
                _check(path, file.schema, file.count_rows(), len(file.schema), n_bytes)
    return feather.read_table(str(path), use_threads=False)


def _check(path: Path, schema: Any, n_rows: int, n_columns: int, n_bytes: int) -> None:
    """Refuse a table that is too large by the file's own metadata: a billion equal values can take no space in the file.

    Args:
        path: the file, for messages.
        schema: names and types of the columns.
        n_rows: number of rows.
        n_columns: number of columns.
        n_bytes: size of the columns, decompressed and still encoded.
    """
    memory_limit.check_columns(n_columns, path.name)
    memory_limit.check_bytes(max(n_bytes, 8 * n_rows * n_columns), f"`{path.name}` with its {n_rows:,} rows", _HINT)
    for field in schema:
        if not _is_plain(field.type):
            raise BundleError(
                f"`{path.name}`: the column `{field.name}` has the type {str(field.type)[:80]}. A table of prices has "
                "dates, text and numbers only; remove the column."
            )


def _is_plain(kind: Any) -> bool:
    from pyarrow import types

    kind = getattr(kind, "storage_type", kind)  # an extension type, such as pandas' periods
    if types.is_dictionary(kind):
        kind = kind.value_type
    tests = (types.is_integer, types.is_floating, types.is_boolean, types.is_temporal, types.is_decimal, types.is_null)
    return _is_text(kind) or any(test(kind) for test in tests)


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _text_bytes(table: Any) -> int:
    """Returns the bytes that all texts take as Python strings, one for each row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    total = 0
    for column in table.columns:
        is_dictionary = pa.types.is_dictionary(column.type)
        if not _is_text(column.type.value_type if is_dictionary else column.type):
            continue
        total += _BYTES_A_TEXT * len(column)
        for chunk in column.chunks:
            if is_dictionary:
                sizes = np.append(_sizes(chunk.dictionary), 0)  # the last one is for rows without a text
                codes = pc.fill_null(chunk.indices, len(sizes) - 1) if chunk.null_count else chunk.indices
                total += int(sizes[codes.to_numpy(zero_copy_only=False)].sum())
            else:
                total += int(_sizes(chunk).sum())
    return total


def _sizes(texts: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Returns ``(n,)`` the bytes of each text in an Arrow array."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string_view(texts.type):  # 16 bytes for each text; the first four are its size
        views = np.frombuffer(texts.buffers()[1], np.int32).reshape(-1, 4)[texts.offset : texts.offset + len(texts), 0]
        return np.where(texts.is_valid().to_numpy(zero_copy_only=False), views, 0).astype(np.int64)
    found = pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False)
    return np.asarray(found, dtype=np.int64)


def _decoded(table: Any) -> Any:
    """Returns the table with its dictionaries decoded; all texts of a column may take more than 2 GiB."""
    import pyarrow as pa

    for position, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            kind = pa.large_string() if _is_text(field.type.value_type) else field.type.value_type
            values = table.column(position).cast(kind)
            table = table.set_column(position, pa.field(field.name, kind), values)
    return table
