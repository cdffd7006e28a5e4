"""DataProvider: an objective that brings the data it is scored on, as files that a backtester reads by itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle
    from rbt_ray.data.file_tree import Files


@runtime_checkable
class DataProvider(Protocol):
    """What the Tuner asks of it, where no `bundle` is passed.

    A trial's `data` is a view of its `bundle`, from whose `index` it reads from when to when it is to run: a lower
    fidelity ends earlier, a hold-out begins where the training bars end.
    """

    @property
    def bundle(self) -> Bundle:
        """The bars there are. Its content tells the data apart, so that a study goes on with what it began with."""
        ...

    @property
    def files(self) -> Files:
        """What workers need, on whatever host."""
        ...

    def open(self, folder: Path) -> None:
        """Called on a worker before its first trial, with the folder in which it has the files."""
        ...
