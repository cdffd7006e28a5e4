"""Frames: messages on the pipe between a driver and a worker process. The driver trusts none before it is checked.

An objective runs in the worker and can write to every descriptor there. An answer is therefore a frame that starts with
a random tag, which the message that it answers carried, its checksum and its length. The driver detects anything else on the
pipe before it unpickles it.
"""

from __future__ import annotations

import os
import pickle
import struct
import sys
import zlib
from multiprocessing.connection import Connection
from os import _exit, fstat
from typing import Any

READY = bytes(16)
"""The tag of the first frame, which a worker sends when it is ready."""
_HEADER = struct.Struct("!16sIQ")
_CHUNK = 2**18

# An objective can replace these in their modules, and its worker still has to answer.
_crc32, _dumps, _loads = zlib.crc32, pickle.dumps, pickle.loads
_MESSAGES = sys.platform == "win32"
"""Whether pipes preserve message boundaries."""
if not _MESSAGES:
    from os import writev


class AnswerError(Exception):
    """A worker sent something that does not answer the last message."""


class WorkerEnd:
    """The worker's end of its pipe.

    Args:
        pipe: the connection to the driver.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._descriptor = pipe.fileno()
        self._tag = READY
        self._file = self._identity()

    def receive(self) -> Any:
        """Returns the next message; raises EOFError or OSError if the driver has ended."""
        self._check_pipe()
        self._tag, message = self._pipe.recv()
        return message

    def answer(self, answer: Any) -> None:
        """Answers the last message; raises OSError if the driver has ended."""
        self._check_pipe()
        payload = _dumps(answer, 5)
        header = _HEADER.pack(self._tag, _crc32(payload), len(payload))
        if _MESSAGES:
            self._pipe.send_bytes(header + payload)
            return
        parts = [memoryview(header), memoryview(payload)]
        while parts:
            written = writev(self._descriptor, parts)
            while parts and written >= len(parts[0]):
                written -= len(parts.pop(0))
            if parts:
                parts[0] = parts[0][written:]

    def _check_pipe(self) -> None:
        """Ends the process if an objective replaced the pipe's descriptor; otherwise driver and worker would wait for each other."""
        try:
            same = self._identity() == self._file
        except OSError:
            same = False
        if not same:
            _exit(1)

    def _identity(self) -> tuple[int, int] | None:
        if _MESSAGES:
            return None
        found = fstat(self._descriptor)
        return found.st_dev, found.st_ino


class FrameReader:
    """Assembles the frame that answers one message.

    Args:
        tag: the tag of the message.
    """

    def __init__(self, tag: bytes) -> None:
        self._tag = tag
        self._data = bytearray()
        self._end = _HEADER.size

    def read_from(self, pipe: Connection) -> bool:
        """Reads what the pipe holds; returns whether the frame is complete.

        Raises:
            AnswerError: the data is not a frame, or answers another message.
            EOFError, OSError: the worker closed the pipe.
        """
        if _MESSAGES:
            data = pipe.recv_bytes()
        else:
            data = os.read(pipe.fileno(), _CHUNK)
            if not data:
                raise EOFError
        self._data += data
        if self._tag[: len(self._data)] != self._data[: len(self._tag)]:
            raise AnswerError("sent something that is no answer to its batch")
        if self._end == _HEADER.size and len(self._data) >= _HEADER.size:
            self._end += _HEADER.unpack_from(self._data)[2]
        if len(self._data) > self._end > _HEADER.size:
            raise AnswerError("sent more than one answer to its batch")
        return len(self._data) == self._end > _HEADER.size

    def answer(self) -> Any:
        """Returns the answer of a complete frame.

        Raises:
            AnswerError: the checksum differs, or the answer cannot be unpickled.
        """
        payload = memoryview(self._data)[_HEADER.size :]
        if _crc32(payload) != _HEADER.unpack_from(self._data)[1]:
            raise AnswerError("sent an answer that arrived damaged")
        return unpickled(payload)


def unpickled(payload: bytes | memoryview) -> Any:
    """Unpickles the answer of a worker.

    Raises:
        AnswerError: it cannot be unpickled.
    """
    try:
        return _loads(payload)
    except BaseException as error:  # unpickling can run code that raises anything, SystemExit too
        raise AnswerError(f"sent an answer that cannot be read ({type(error).__name__})") from error
