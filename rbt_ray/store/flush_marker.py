"""The number of the last event that is known to be on the disk, in a file next to the journal.

SQLite reads a damaged log up to the damage. That is right for events of the last second before a power cut, and wrong for
events that had been flushed before. So the driver that flushes the log records how far.
"""

from __future__ import annotations

import os
import zlib
from contextlib import suppress
from pathlib import Path

from rbt_ray.private_files import NO_LINK, NO_WAIT, open_regular

_AT_MOST = 64


class FlushMarker:
    """The flush marker of a journal; if its file is missing or incomplete, the number is 0.

    Args:
        journal: the journal's file.
    """

    def __init__(self, journal: Path) -> None:
        self.path = journal.with_name(f"{journal.name}-flushed")

    def read(self) -> int:
        """Returns the number of the last event that was flushed; 0 if it is not known."""
        with suppress(OSError, ValueError):
            with open_regular(self.path, follow=False) as file:
                number, seal = file.read(_AT_MOST).split()
            if number.isdigit() and int(seal, 16) == zlib.crc32(number):
                return int(number)
        return 0

    def write(self, number: int) -> None:
        """Records that all events up to this one are on the disk.

        Raises:
            OSError: it cannot be written.
        """
        text = b"%020d" % number
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | NO_LINK | NO_WAIT, 0o600)
        try:
            os.write(descriptor, b"%b %08x\n" % (text, zlib.crc32(text)))
        finally:
            os.close(descriptor)

    def remove(self) -> None:
        """Removes the marker, after the log is empty."""
        with suppress(OSError):
            self.path.unlink()
