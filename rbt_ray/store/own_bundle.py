"""Downloads the bundle of a single study, after checking the header and the size of the file."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

from rbt_ray.errors import SettingError
from rbt_ray.private_files import replacing

_KEPT_FREE = 64 * 2**20


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


_CONTINUED = 0xFFFFFFFF
_PIECE = 4 * 2**20
_MAX_HEAD = 64 * 2**20
_PADDING = 64  # bytes, at most, after each column
_BYTES_OF_A_NUMBER = 8


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
        while left > 0 and (piece := source.read(min(_PIECE, left))):
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
