"""Escapes text for HTML."""

from __future__ import annotations

import html


def escape(text: str) -> str:
    """Escapes text for HTML elements and quoted attributes."""
    return encodable(html.escape(text))


def encodable(text: str) -> str:
    """Escapes lone surrogates, which JSON can contain and no encoding can represent."""
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")
