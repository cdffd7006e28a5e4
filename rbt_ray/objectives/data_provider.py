"""DataProvider: an objective that provides its own data, as files that a backtester reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle
    from rbt_ray.data.file_tree import FileTree


@runtime_checkable
class DataProvider(Protocol):
    """The interface of an objective that is used without `bundle`.

    The `data` of a trial is a view of `bundle`. Its `index` has the first and last time of the run: a lower fidelity ends
    earlier, and a hold-out starts after the training bars.
    """

    @property
    def bundle(self) -> Bundle:
        """The bars. A resumed study compares their content."""
        ...

    @property
    def files(self) -> FileTree:
        """The files that workers on any host need."""
        ...

    def open(self, folder: Path) -> None:
        """Called on a worker before its first trial, with the folder that contains the files."""
        ...
