"""Where objectives that report can go on, kept from a config's lower fidelity to its next."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from rbt_ray.types import Checkpoint, FloatArray

_CAPACITY = 256 * 2**20


class Checkpoints:
    """The latest checkpoint of each config; the least recently used are forgotten when they take more than 256 MiB.

    A config whose checkpoint is gone, as after a resume, begins at its start again: that costs time and changes nothing.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, Checkpoint] = OrderedDict()
        self._bytes = 0

    def keep(self, points: FloatArray, checkpoints: Mapping[int, Checkpoint]) -> None:
        """Takes in what the trials of a batch left, by row of its points."""
        for row, checkpoint in checkpoints.items():
            self._forget(points[row].tobytes())
            self._kept[points[row].tobytes()] = checkpoint
            self._bytes += len(checkpoint.payload)
        while self._bytes > _CAPACITY:
            self._forget(next(iter(self._kept)))

    def of(self, points: FloatArray) -> dict[int, Checkpoint]:
        """Those there are, by row."""
        if not self._kept:
            return {}
        found = {row: self._kept.get(point.tobytes()) for row, point in enumerate(points)}
        return {row: checkpoint for row, checkpoint in found.items() if checkpoint is not None}

    def _forget(self, key: bytes) -> None:
        old = self._kept.pop(key, None)
        self._bytes -= 0 if old is None else len(old.payload)
