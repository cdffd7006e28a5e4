"""One Parquet, Feather or Arrow file to a pandas frame; the file may be anybody's, and be made to harm."""

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
_HINT = "Is it damaged? A table of prices that large can be read in parts, a bundle each."
_BYTES_A_TEXT = 64
"""Bytes of overhead of a Python string."""


def read(path: Path) -> pd.DataFrame:
    """The frame in a file that ends in ``.parquet``, ``.pq``, ``.feather``, ``.arrow`` or ``.ipc``.

    Raises:
        BundleError: it is damaged, no such file, or holds more than this machine can.
        ResourceError: the machine has too little memory or descriptors left to read it.
    """
    suffix = path.suffix.lower()
    try:
        table = _parquet(path) if suffix in _PARQUET else _feather(path)
        table.validate(full=True)  # pandas would follow offsets that lead out of their buffers
        memory_limit.check_bytes(_text_bytes(table), f"`{path.name}`, its texts decoded,", _HINT)
        frame: pd.DataFrame = _decoded(table).to_pandas(use_threads=False)
    except RbtError:
        raise
    except Exception as error:  # there is no list of what readers raise of damaged files
        if (why := explanation(error)) is not None:
            raise ResourceError(f"`{path.name}` cannot be read: {why}") from None
        reason = (str(error).splitlines() or ["it is damaged"])[0].rstrip(".")
        raise BundleError(f"`{path.name}` cannot be read as {suffix[1:]}: {reason}.") from None
    return frame


def _parquet(path: Path) -> Any:
    """The table, with texts as dictionaries: each distinct text is in memory once, as it is in the file."""
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
            raise BundleError(  # a text may take one byte of the file and repeat all of the text before it
                f"`{path.name}`: the texts of `{column.name}` are encoded as DELTA_BYTE_ARRAY, whose size nobody can know "
                "before they are decoded. Write the file with the usual encodings, as `DataFrame.to_parquet` does."
            )
    # pyarrow waits for ever for threads that it cannot start, as where memory is short.
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        return file.read(use_threads=False)


def _feather(path: Path) -> Any:
    import pyarrow as pa
    from pyarrow import feather

    with path.open("rb") as source:
        # The first version of Feather was another format, without compression.
        if source.read(6) == b"ARROW1":
            with mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                n_bytes = decompressed_bytes(mapped)
            with pa.memory_map(str(path)) as mapped, pa.ipc.open_file(mapped) as file:
                _check(path, file.schema, file.count_rows(), len(file.schema), n_bytes)
    return feather.read_table(str(path), use_threads=False)


def _check(path: Path, schema: Any, n_rows: int, n_columns: int, n_bytes: int) -> None:
    """Refuse what is too large, by what the file says of itself: a column of one value a billion times takes no room in it.

    Args:
        path: the file, for messages.
        schema: the columns' names and types.
        n_rows: how many.
        n_columns: how many.
        n_bytes: of the columns, decompressed and still encoded.
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

    kind = getattr(kind, "storage_type", kind)  # of pandas' periods, for instance
    if types.is_dictionary(kind):
        kind = kind.value_type
    tests = (types.is_integer, types.is_floating, types.is_boolean, types.is_temporal, types.is_decimal, types.is_null)
    return _is_text(kind) or any(test(kind) for test in tests)


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _text_bytes(table: Any) -> int:
    """The memory that all texts take as Python strings, each row with one of its own."""
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
                sizes = np.append(_sizes(chunk.dictionary), 0)  # the last one is of rows without a text
                codes = pc.fill_null(chunk.indices, len(sizes) - 1) if chunk.null_count else chunk.indices
                total += int(sizes[codes.to_numpy(zero_copy_only=False)].sum())
            else:
                total += int(_sizes(chunk).sum())
    return total


def _sizes(texts: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    """``(n,)`` bytes of each text of an Arrow array."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string_view(texts.type):  # 16 bytes a text, of which the first four are its size
        views = np.frombuffer(texts.buffers()[1], np.int32).reshape(-1, 4)[texts.offset : texts.offset + len(texts), 0]
        return np.where(texts.is_valid().to_numpy(zero_copy_only=False), views, 0).astype(np.int64)
    found = pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False)
    return np.asarray(found, dtype=np.int64)


def _decoded(table: Any) -> Any:
    """The table with its dictionaries decoded; texts may be more than 2 GiB together."""
    import pyarrow as pa

    for position, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            kind = pa.large_string() if _is_text(field.type.value_type) else field.type.value_type
            values = table.column(position).cast(kind)
            table = table.set_column(position, pa.field(field.name, kind), values)
    return table
