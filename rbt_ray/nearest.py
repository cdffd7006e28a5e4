"""The nearest right word to a wrong one, for errors."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """A clause that offers the nearest known word, "did you mean 'slow'?"; empty where none is near."""
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else ""


def nearest(word: object, known: Iterable[str]) -> str:
    """A clause that offers the nearest known word, or lists them all."""
    names = list(known)
    return did_you_mean(word, names) or (f"choose one of {', '.join(names)}." if names else "there is none.")
