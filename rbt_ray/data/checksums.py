"""Checksums of arrays, one for each block of 1 MiB, fast enough to read every price again at the end of a study.

A block is laid out in rows of 512 words of 64 bits. The sums of its rows and of its columns, modulo 2**64, are hashed.
A change within one row (4 KiB, a page) changes the sum of each column it touches, whatever the change is. To keep all
sums, a change must touch the four corners of a rectangle, with differences that cancel.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_BYTES = 2**20
SUM_BYTES = 8
"""Bytes of a block's checksum."""
_WORD_BYTES = 8
_ROW = 512
_BLOCK = BLOCK_BYTES // _WORD_BYTES

# An objective can replace these in their modules, and its worker still has to check the prices.
_add, _blake2b = np.add.reduce, hashlib.blake2b


def block_sums(values: NDArray[Any]) -> bytes:
    """Returns the checksum of each block, `SUM_BYTES` each, one after the other.

    Args:
        values: C-contiguous, of items of 8 bytes.
    """
    words = _words(values)
    return b"".join(_block_sum(words[start : start + _BLOCK]) for start in range(0, len(words), _BLOCK))


def n_sum_bytes(n_values: int) -> int:
    """Returns how many bytes `block_sums` gives for so many values."""
    return -(-n_values // _BLOCK) * SUM_BYTES


def changed_values(values: NDArray[Any], sums: bytes) -> range | None:
    """Returns the positions in ``values.ravel()`` of the first block that has another checksum; None if none has.

    Args:
        values: as for `block_sums`.
        sums: what `block_sums` gave for them before.
    """
    words = _words(values)
    for number, start in enumerate(range(0, len(words), _BLOCK)):
        block = words[start : start + _BLOCK]
        if _block_sum(block) != sums[number * SUM_BYTES : (number + 1) * SUM_BYTES]:
            return range(start, start + len(block))
    return None


def _words(values: NDArray[Any]) -> NDArray[np.uint64]:
    return values.reshape(-1).view("<u8")


def _block_sum(words: NDArray[np.uint64]) -> bytes:
    n_rows = len(words) // _ROW
    rows = words[: n_rows * _ROW].reshape(n_rows, _ROW)
    digest = _blake2b(digest_size=SUM_BYTES)
    for axis in (0, 1):
        digest.update(_add(rows, axis=axis).astype("<u8", copy=False).data)
    digest.update(words[n_rows * _ROW :].data)
    return digest.digest()
