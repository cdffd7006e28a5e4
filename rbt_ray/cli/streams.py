"""Handles standard streams that are closed, full, without a reader, or with a limited encoding."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

_STANDARD = (0, 1, 2)


def prepare() -> None:
    """Replaces closed standard streams with the null device, and escapes characters that the encoding lacks.

    Otherwise the next file to be opened would get the closed stream's descriptor, and a journal could receive printed text.
    """
    for descriptor in _STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # uses the lowest free descriptor
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(descriptor, "w", encoding="utf-8", closefd=False))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def print_error(message: str) -> None:
    """Prints a message to stderr, if stderr is writable."""
    with suppress(OSError, ValueError):
        print(visible(f"rbt-ray: {message}"), file=sys.stderr, flush=True)


def discard(descriptor: int) -> None:
    """Discards a standard stream's buffered output; otherwise Python fails again at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)


def visible(text: str) -> str:
    """Escapes all non-printable characters except line breaks, so that text cannot control the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
