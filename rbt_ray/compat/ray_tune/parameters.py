"""Large objects for a trainable, written once and mapped by every worker of a machine."""

from __future__ import annotations

import json
import mmap
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cloudpickle

from rbt_ray.private_files import make_folder, replacing

_ALIGNED = 64
_FILE = "parameters.bin"


class Parameters:
    """Objects by name, sent to workers by reference.

    On one machine, the arrays and buffers in them (of numpy, pandas, pyarrow) are in a file in the study's folder. Workers map
    it read-only, so that they share one copy in memory. On Ray they are in its object store.

    Args:
        values: the objects.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = dict(values)
        self._folder: Path | None = None
        self._on_ray = False

    def store_in(self, folder: Path, *, on_ray: bool) -> None:
        """Sets where to store the objects when they are sent."""
        self._folder, self._on_ray = folder, on_ray

    def clear(self) -> None:
        """Removes the file; workers that have mapped it keep their data."""
        if self._folder is not None:
            (self._folder / _FILE).unlink(missing_ok=True)

    def __reduce__(self) -> Any:
        if self._on_ray:
            return _from_ray, (_into_ray(self.values),)
        if self._folder is None:
            return Parameters, (self.values,)
        return _from_file, (str(_write(self.values, self._folder / _FILE)),)


def _into_ray(values: Mapping[str, Any]) -> bytes:
    """Copies values into the store, where they stay until the driver exits: Ray cannot see who holds the reference."""
    import ray

    reference: bytes = ray.cloudpickle.dumps(ray.put(values))
    return reference


def _from_ray(reference: bytes) -> Parameters:
    """Returns the values with read-only arrays in the store of this node."""
    import ray

    return Parameters(ray.get(pickle.loads(reference)))


def _from_file(path: str) -> Parameters:
    with Path(path).open("rb") as file:
        mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    n_head = int.from_bytes(mapped[:8], "little")
    offsets = json.loads(bytes(mapped[8 : 8 + n_head]))
    body, *buffers = (mapped[start : start + length] for start, length in offsets)
    return Parameters(pickle.loads(body, buffers=buffers))


def _write(values: Mapping[str, Any], path: Path) -> Path:
    """Writes the file: the length of the header; the header, the offsets of the parts as JSON; the parts, a pickle and its buffers."""
    buffers: list[pickle.PickleBuffer] = []
    body = cloudpickle.dumps(dict(values), protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(body), *(buffer.raw() for buffer in buffers)]
    start_of_parts = _aligned(8 + 48 * len(parts) + 2)  # two numbers of at most 19 digits a part, and their punctuation
    offsets, end = [], start_of_parts
    for part in parts:
        offsets.append((end, part.nbytes))
        end = _aligned(end + part.nbytes)
    head = json.dumps(offsets).encode()
    make_folder(path.parent)
    with replacing(path, flush=False) as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for (start, _), part in zip(offsets, parts, strict=True):
            file.seek(start)
            file.write(part)
    return path.absolute()


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGNED) * _ALIGNED
