"""Escapes text from other people's files for the terminal."""

from __future__ import annotations


def visible(text: str) -> str:
    """Escapes all non-printable characters except line breaks, so that text cannot control the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
