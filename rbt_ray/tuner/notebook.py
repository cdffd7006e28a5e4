"""A line below the cell of a notebook that changes in place."""

from __future__ import annotations

import sys
from typing import Any


def is_notebook() -> bool:
    """Returns whether this process is the kernel of a notebook; imports nothing."""
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = None if get_ipython is None else get_ipython()
    return getattr(shell, "kernel", None) is not None  # IPython in a terminal has none


class ChangingLine:
    """A line of text; each `show` replaces it, so that a study of hours leaves one line in the notebook's file."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, text: str) -> None:
        """Shows a text in the line's place."""
        from IPython.display import display

        content = {"text/plain": text}
        if self._handle is None:
            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)
