"""Checkpoints: folders from which a trial can continue, and dicts stored in them without pickling.

A dict is stored as JSON, with its numpy arrays in an ``.npz`` file. Reading it runs no code.
"""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from rbt_ray import private_files
from rbt_ray.errors import NotSupportedError, SettingError
from rbt_ray.private_files import replacing

_METADATA = ".metadata.json"


class Checkpoint:
    """A folder with what a trial needs to continue.

    Args:
        path: the folder, on a disk that this machine can read.

    Raises:
        NotSupportedError: it is a URI.
    """

    def __init__(self, path: str | os.PathLike[str], filesystem: Any = None) -> None:
        if filesystem is not None and not type(filesystem).__name__.startswith("LocalFileSystem"):
            raise NotSupportedError("`filesystem` is not supported: download the checkpoint first, by `pyarrow.fs`.")
        if "://" in str(path):
            raise NotSupportedError(f"a checkpoint must be a folder; got {path!s}. Download it first, by `pyarrow.fs`.")
        self.path = str(path)

    @classmethod
    def from_directory(cls, path: str | os.PathLike[str]) -> Checkpoint:
        """Returns the checkpoint in a folder."""
        return cls(path)

    @property
    def filesystem(self) -> Any:
        """The local filesystem of pyarrow."""
        import pyarrow.fs

        return pyarrow.fs.LocalFileSystem()

    @contextmanager
    def as_directory(self) -> Iterator[str]:
        """Yields the folder itself; do not change it."""
        yield self.path

    def to_directory(self, path: str | os.PathLike[str] | None = None) -> str:
        """Copies the folder to `path`, or to a new temporary folder, and returns the copy's path."""
        target = tempfile.mkdtemp(prefix="checkpoint_") if path is None else os.fspath(path)
        shutil.copytree(self.path, target, dirs_exist_ok=True)
        return target

    def get_metadata(self) -> dict[str, Any]:
        """Returns what `set_metadata` wrote; empty if nothing."""
        file = Path(self.path, _METADATA)
        found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        return found

    def set_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Replaces the metadata with a dict that JSON can hold."""
        private_files.write(Path(self.path, _METADATA), json.dumps(dict(metadata)))

    def update_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Updates the metadata."""
        self.set_metadata({**self.get_metadata(), **metadata})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Checkpoint) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        return f"Checkpoint(filesystem=local, path={self.path})"


_JSON, _ARRAYS = "_dict_checkpoint.json", "_dict_checkpoint.npz"
_SEQUENCES: dict[str, type] = {"tuple": tuple, "set": set, "frozenset": frozenset}
_BUFFERS: dict[str, type] = {"bytes": bytes, "bytearray": bytearray}
_EXACT_INT = 2**63
_DAMAGE_ERRORS = (
    *(ValueError, TypeError, KeyError, IndexError, OSError, EOFError, RecursionError, MemoryError),
    *(zipfile.BadZipFile, zlib.error),
)


class NotSerializableError(Exception):
    """Raised for a dict with values other than plain Python values and those of numpy."""


def write_dict(values: dict[Any, Any], folder: Path) -> None:
    """Writes a dict to two files in a folder; `read_dict` returns an equal dict with the same types.

    Args:
        values: None, booleans, numbers, strings, bytes, numpy arrays and scalars, and lists, tuples, sets and dicts of them,
            nested to any depth.
        folder: a folder without such files.

    Raises:
        NotSerializableError: there is another kind of value; nothing is written.
    """
    arrays: list[np.ndarray[Any, Any]] = []
    try:
        text = json.dumps(_encode(values, arrays))
    except RecursionError:
        raise NotSerializableError from None
    if arrays:
        packed = io.BytesIO()
        np.savez(packed, *arrays)
        _write(folder / _ARRAYS, packed.getvalue())
    _write(folder / _JSON, text.encode())


def read_dict(folder: Path) -> dict[Any, Any] | None:
    """Returns the dict that `write_dict` wrote, or None without such files.

    Raises:
        SettingError: the files are damaged.
    """
    file = folder / _JSON
    if not file.exists():
        return None
    try:
        held = json.loads(file.read_bytes())
        arrays: list[np.ndarray[Any, Any]] = []
        if (folder / _ARRAYS).exists():
            with np.load(folder / _ARRAYS, allow_pickle=False) as found:
                arrays = [found[f"arr_{n}"] for n in range(len(found.files))]
        values = _decode(held, arrays)
        if not isinstance(values, dict):
            raise TypeError("it holds no dict")
    except _DAMAGE_ERRORS as error:
        raise SettingError(f"the checkpoint in {folder} cannot be read: {error}. Use an earlier one.") from error
    return values


def _write(path: Path, content: bytes) -> None:
    with replacing(path, flush=False) as file:
        file.write(content)


def _encode(value: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
    """Returns the value as JSON; a type that JSON lacks becomes a dict of one pair, its mark and its content."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if (hold := _ENCODERS.get(kind)) is not None:
        return hold(value, arrays)
    if isinstance(value, np.generic) and kind is value.dtype.type:
        array = np.asarray(value)
        if array[()].tobytes() == value.tobytes():  # an array drops zeros at the end of a text
            return _array("scalar", array, arrays)
    raise NotSerializableError


def _text(value: str, _arrays: Any) -> Any:
    try:
        value.encode()
    except UnicodeEncodeError:  # halves of surrogate pairs, which JSON would join
        raise NotSerializableError from None
    return value


def _whole(value: int, _arrays: Any) -> Any:
    # Python refuses decimals of thousands of digits; hexadecimal ones have no limit.
    return value if -_EXACT_INT <= value < _EXACT_INT else {"int": hex(value)}


def _number(value: float, _arrays: Any) -> Any:
    return value if math.isfinite(value) else {"float": repr(value)}


def _array(mark: str, value: np.ndarray[Any, Any], arrays: list[np.ndarray[Any, Any]]) -> Any:
    described = np.lib.format.dtype_to_descr(value.dtype)
    if value.dtype.hasobject or np.lib.format.descr_to_dtype(described) != value.dtype:
        raise NotSerializableError
    arrays.append(value)
    return {mark: len(arrays) - 1}


def _sequence(value: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
    return {type(value).__name__: [_encode(part, arrays) for part in value]}


_ENCODERS: dict[type, Callable[[Any, list[np.ndarray[Any, Any]]], Any]] = {
    str: _text,
    int: _whole,
    float: _number,
    complex: lambda value, arrays: _array("complex", np.asarray(value), arrays),
    bytes: lambda value, arrays: _array("bytes", np.frombuffer(value, np.uint8), arrays),
    bytearray: lambda value, arrays: _array("bytearray", np.frombuffer(value, np.uint8), arrays),
    np.ndarray: lambda value, arrays: _array("array", value, arrays),
    list: lambda value, arrays: [_encode(part, arrays) for part in value],
    tuple: _sequence,
    set: _sequence,
    frozenset: _sequence,
    dict: lambda value, arrays: {
        "dict": [[_encode(key, arrays), _encode(part, arrays)] for key, part in value.items()]
    },
}


def _decode(held: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
    if isinstance(held, list):
        return [_decode(part, arrays) for part in held]
    if not isinstance(held, dict):
        return held
    ((mark, content),) = held.items()
    if mark == "dict":
        return {_decode(key, arrays): _decode(part, arrays) for key, part in content}
    if mark in _SEQUENCES:
        return _SEQUENCES[mark](_decode(part, arrays) for part in content)
    if mark == "int":
        return int(content, 16)
    if mark == "float":
        return float(content)
    array = arrays[content]
    if mark in _BUFFERS:
        return _BUFFERS[mark](array.tobytes())
    if mark == "complex":
        return complex(array[()])
    if mark not in ("array", "scalar"):
        raise ValueError(f"it has an unknown mark, {mark!r}")
    return array if mark == "array" else array[()]
