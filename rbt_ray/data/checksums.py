"""Checksums of arrays, one for each block of 1 MiB, fast enough to check every price at the end of a study.

A block is an array with rows of 512 words of 64 bits. Its checksum is a hash of the sums of its rows and of its columns,
modulo 2**64. A change within one row (4 KiB, a page) changes the sum of each column it touches. To keep all sums, a change
must touch the four corners of a rectangle with differences that cancel.
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

# Bound at import: an objective can replace these in their modules before its worker checks the prices.
_add, _blake2b = np.add.reduce, hashlib.blake2b


def block_sums(values: NDArray[Any]) -> bytes:
    """Returns the concatenated checksums of all blocks, `SUM_BYTES` each.

    Args:
        values: C-contiguous, with items of 8 bytes.
    """
    words = _words(values)
    return b"".join(_block_sum(words[start : start + _BLOCK]) for start in range(0, len(words), _BLOCK))


def n_sum_bytes(n_values: int) -> int:
    """Returns the number of bytes that `block_sums` returns for `n_values` values."""
    return -(-n_values // _BLOCK) * SUM_BYTES


def changed_values(values: NDArray[Any], sums: bytes) -> range | None:
    """Returns the positions in ``values.ravel()`` of the first block whose checksum differs; None if none does.

    Args:
        values: as for `block_sums`.
        sums: the earlier result of `block_sums`.
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
