"""The nearest right word to a wrong one, for errors."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """A clause that offers the nearest known word, or lists them all: "did you mean 'slow'?"."""
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"choose one of {', '.join(names)}." if names else "there is none."
