"""Standard streams that are closed, full, read by nobody, or of an encoding that lacks a character."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from rbt_ray.cli.terminal_escape import visible

_STANDARD = (0, 1, 2)


def prepare() -> None:
    """Opens the null device in place of standard streams that are closed, and lets no character stop an output.

    The next file that is opened would get the number of a closed one: a journal would get what is printed.
    """
    for descriptor in _STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(descriptor, "w", encoding="utf-8", closefd=False))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def print_error(message: str) -> None:
    """Prints one message of ours to stderr, if anything can be printed there."""
    with suppress(OSError, ValueError):
        print(visible(f"rbt-ray: {message}"), file=sys.stderr, flush=True)


def discard(descriptor: int) -> None:
    """Discards what a standard stream still buffers; otherwise Python fails again at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)
