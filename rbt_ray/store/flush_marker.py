"""Which event a study's disk was last known to hold: a line beside the journal, outside of the log that may lose its end.

SQLite takes a damaged log for one that ends where the damage begins. That is right for what a power cut tore, in the last
second, and wrong for what had been flushed before. So the driver that flushes the log writes down how far.
"""

from __future__ import annotations

import os
import zlib
from contextlib import suppress
from pathlib import Path

from rbt_ray.private_files import open_regular

_LINK = getattr(os, "O_NOFOLLOW", 0)  # in somebody else's folder it may lead to any file
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # nor for somebody at the other end of a pipe
_AT_MOST = 64


class FlushMarker:
    """The line in the file beside a journal; where the file is missing or torn, it knows of nothing.

    Args:
        journal: the journal's file.
    """

    def __init__(self, journal: Path) -> None:
        self.path = journal.with_name(f"{journal.name}-flushed")

    def read(self) -> int:
        """The number of the last event that was flushed; 0 where nothing is known."""
        with suppress(OSError, ValueError):
            with open_regular(self.path, follow=False) as file:
                number, seal = file.read(_AT_MOST).split()
            if number.isdigit() and int(seal, 16) == zlib.crc32(number):
                return int(number)
        return 0

    def write(self, number: int) -> None:
        """Writes down that all events up to this one lie on the disk.

        Raises:
            OSError: it cannot be written.
        """
        text = b"%020d" % number
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | _LINK | _NO_WAIT, 0o600)
        try:
            os.write(descriptor, b"%b %08x\n" % (text, zlib.crc32(text)))
        finally:
            os.close(descriptor)

    def remove(self) -> None:
        """Forgets it, when nothing is left in the log."""
        with suppress(OSError):
            self.path.unlink()
