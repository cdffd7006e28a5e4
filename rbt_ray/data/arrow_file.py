"""Writes each bundle to one Arrow IPC file atomically, and memory-maps the file to read it without a copy.

The file has a timestamp column ``index`` and a column ``FixedSizeList<float64>[n_symbols]`` for each field, in one
uncompressed record batch, so that a field's bytes in the file are its array. Everything else, the head, is JSON in the
schema's metadata. Opening a file compares the head with its digest, and the prices with the content hash only on request.
The head has a checksum of each block of the columns (`checksums`), which studies compare the prices with. Files of earlier
versions have no checksums.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import re
from collections.abc import Callable, Mapping
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import Any

import numpy as np

from rbt_ray.arrow_messages import read_batch
from rbt_ray.data import times
from rbt_ray.data.checksums import n_sum_bytes
from rbt_ray.data.content import Content, checksums_of, nanoseconds
from rbt_ray.errors import BundleError
from rbt_ray.os_errors import explanation
from rbt_ray.private_files import open_regular, replacing
from rbt_ray.types import FloatArray

HEAD, DIGEST = b"rbt_ray.bundle", b"rbt_ray.digest"
_FORMAT = 1
_DAMAGE = (OSError, ValueError, LookupError, TypeError, ArithmeticError, MemoryError, RecursionError)
_VERSION = re.compile("[0-9a-f]{64}")


def write(path: Path, content: Content, name: str | None, metadata: Mapping[str, str]) -> None:
    """Write a bundle; at any instant, and after a crash, `path` is the previous file or the complete new one."""
    import pyarrow as pa

    n_bars, n_symbols = len(content.index), len(content.symbols)
    columns = [pa.Array.from_buffers(pa.timestamp("ns"), n_bars, [None, pa.py_buffer(content.index.view(np.int64))])]
    for values in content.arrays.values():
        cells = pa.Array.from_buffers(pa.float64(), values.size, [None, pa.py_buffer(values)])
        columns.append(pa.FixedSizeListArray.from_arrays(cells, n_symbols))
    head = json.dumps(
        {
            "format": _FORMAT,
            "version": content.version,
            "name": name,
            "n_bars": n_bars,
            "symbols": content.symbols,
            "fields": list(content.arrays),
            "tz": content.tz,
            "periods_per_year": content.periods_per_year,
            "metadata": dict(metadata),
            "sums": None if content.sums is None else {name: sums.hex() for name, sums in content.sums.items()},
            **({"listed_until": nanoseconds(content.listed_until)} if content.listed_until else {}),
        }
    ).encode()
    batch = pa.record_batch(columns, names=["index", *content.arrays])
    batch = batch.replace_schema_metadata({HEAD: head, DIGEST: _digest(head)})

    def put(file: Any) -> None:
        with pa.ipc.new_file(file, batch.schema) as writer:
            writer.write_batch(batch)

    replace(path, put)


def replace(path: Path, put: Callable[[Any], None]) -> None:
    """Write a private file beside `path`, flush it to disk, then rename it to `path`.

    Raises:
        BundleError: the file cannot be written.
    """
    try:
        with replacing(path) as file:
            put(file)
    except OSError as error:
        reason = (error.strerror or error) if path.parent.is_dir() else f"there is no folder `{path.parent}`"
        raise BundleError(
            f"`{path}` cannot be written: {reason}. Choose an existing folder on a disk with free space."
        ) from None


def read(path: Path, *, verify: bool) -> tuple[Content, str | None, dict[str, str]]:
    """Returns content, name and metadata of a file; the arrays are the mapped pages of the file.

    Raises:
        BundleError: there is no such file, it is not a bundle, or it is damaged.
    """
    import pyarrow as pa

    try:
        with open_regular(path) as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        content, name, metadata = _read(pa.py_buffer(mapped))
        if verify:
            if content.digest() != content.version:
                raise ValueError("its prices do not match its content hash")
            if not (content.index[1:] > content.index[:-1]).all():
                raise ValueError("its bars are not in time order")
            if content.sums is None:
                content = replace_fields(content, sums=checksums_of(content.index, content.arrays))
    except FileNotFoundError:
        raise BundleError(f"There is no bundle file `{path}`.") from None
    except (pa.ArrowException, *_DAMAGE) as error:
        if isinstance(error, OSError) and explanation(error) is not None:  # the file may be intact
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise BundleError(
            f"`{path}` is not a bundle file, or is damaged: {reason}. "
            "Write it again: `Bundle.save(path)`, or `rbt.ingest(name, source)` for a registered bundle."
        ) from None
    return content, name, metadata


def _read(mapped: Any) -> tuple[Content, str | None, dict[str, str]]:
    import pyarrow as pa

    n_batches = pa.ipc.open_file(mapped).num_record_batches  # it is at the end, which a truncated file lacks
    schema, batch = read_batch(mapped, mapped.size)
    raw = schema.metadata or {}
    if HEAD not in raw:
        raise ValueError("its schema has no bundle metadata")
    if raw.get(DIGEST) != _digest(raw[HEAD]):
        raise ValueError("its head was changed")
    head = _checked(json.loads(raw[HEAD]))
    if batch is None or n_batches != 1:
        raise ValueError("it does not hold one record batch")
    batch.validate()
    n_bars, n_symbols = head["n_bars"], len(head["symbols"])
    if batch.schema.names != ["index", *head["fields"]] or batch.num_rows != n_bars:
        raise ValueError("its columns differ from those in its head")
    index = _numbers(batch.column(0), "timestamp[ns]", n_bars, "<i8").view("<M8[ns]")
    arrays: dict[str, FloatArray] = {}
    for position, field in enumerate(head["fields"], start=1):
        column = batch.column(position)
        if str(column.type).partition("[")[2] != f"{n_symbols}]" or column.null_count or column.offset:
            raise ValueError(f"field {field!r} has another type")
        arrays[field] = _numbers(column.values, "double", n_bars * n_symbols, "<f8").reshape(n_bars, n_symbols)
    symbols, sums = tuple(head["symbols"]), _sums(head.get("sums"), head["fields"], n_bars, n_symbols)
    ends = {symbol: np.datetime64(end, "ns") for symbol, end in head.get("listed_until", {}).items()}
    content = Content(index, symbols, arrays, head["tz"], head["periods_per_year"], head["version"], ends, sums)
    return content, head["name"], head["metadata"]


def _checked(head: Any) -> dict[str, Any]:
    """Returns the head if every part has the type that `write` gives it; anybody can make a matching digest."""
    if head["format"] != _FORMAT:
        raise ValueError(f"it has format {head['format']}, and this version of rbt_ray reads {_FORMAT}")
    per_year, notes, ends = head["periods_per_year"], head["metadata"], head.get("listed_until", {})
    right = {
        "version": isinstance(head["version"], str) and _VERSION.fullmatch(head["version"]),
        "name": head["name"] is None or isinstance(head["name"], str),
        "n_bars": type(head["n_bars"]) is int and head["n_bars"] > 0,
        "symbols": _are_names(head["symbols"]),
        "fields": _are_names(head["fields"]) and "close" in head["fields"],
        "periods_per_year": type(per_year) is float and 0 < per_year < math.inf,
        "metadata": isinstance(notes, dict) and all(isinstance(value, str) for value in notes.values()),
        "listed_until": isinstance(ends, dict)
        and set(ends) <= set(head["symbols"])
        and all(type(end) is int and abs(end) < 2**63 for end in ends.values()),
    }
    for part, is_right in right.items():
        if not is_right:
            raise ValueError(f"its head has no usable `{part}`")
    times.zone(head["tz"])
    return dict(head)


def _sums(found: Any, fields: list[str], n_bars: int, n_symbols: int) -> dict[str, bytes] | None:
    """Returns the checksums in a head, by column; None if it has none."""
    if found is None:
        return None
    sums = {name: bytes.fromhex(found[name]) for name in ("index", *fields)}
    n_values = {"index": n_bars}
    if any(len(one) != n_sum_bytes(n_values.get(name, n_bars * n_symbols)) for name, one in sums.items()):
        raise ValueError("its head has no usable `sums`")
    return sums


def _are_names(names: Any) -> bool:
    is_list = isinstance(names, list) and len(names) > 0
    return is_list and all(isinstance(name, str) for name in names) and len(set(names)) == len(names)


def _numbers(column: Any, kind: str, n: int, dtype: str) -> Any:
    """Returns the column's buffer as a numpy array, without a copy, and without pandas, which `to_numpy` may import."""
    if str(column.type) != kind or column.null_count or column.offset or len(column) != n:
        raise ValueError(f"a column is not {n} values of type {kind}")
    return np.frombuffer(column.buffers()[-1], dtype, count=n)


def _digest(head: bytes) -> bytes:
    return hashlib.sha256(head).hexdigest().encode()
