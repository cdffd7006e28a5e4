"""Text for HTML that any page can hold."""

from __future__ import annotations

import html


def escape(text: str) -> str:
    """Text for HTML, in elements and in quoted attributes."""
    return encodable(html.escape(text))


def encodable(text: str) -> str:
    """The text with lone surrogates written out as escapes: no encoding has them, and JSON can bring them."""
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")
