"""Text from files of somebody else, as a terminal may be shown it."""

from __future__ import annotations


def visible(text: str) -> str:
    """Text in which nothing but line breaks makes a terminal do anything: what cannot be seen is written out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
