"""Suggests the nearest known word for a wrong one, for error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Returns "did you mean 'slow'?" with the nearest known word, or an empty string if no known word is near."""
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else ""


def nearest(word: object, known: Iterable[str]) -> str:
    """Returns a clause that suggests the nearest known word, or lists all known words."""
    names = list(known)
    return did_you_mean(word, names) or (f"choose one of {', '.join(names)}." if names else "there is none.")
