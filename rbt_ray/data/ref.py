"""FileRef: what is sent to a worker in place of a bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rbt_ray.data.bundle import Bundle
from rbt_ray.errors import BundleError


@dataclass(frozen=True, slots=True)
class FileRef:
    """A bundle's file and the version it must hold; small, picklable, for processes of one machine.

    Args:
        path: the Arrow file.
        version: the content hash.
    """

    path: Path
    version: str

    def open(self) -> Bundle:
        """The bundle, memory-mapped and read-only.

        Raises:
            BundleError: the file is gone, damaged, or holds another version.
        """
        bundle = Bundle.open(self.path)
        if bundle.version != self.version:
            raise BundleError(
                f"`{self.path}` was version {self.version[:12]} and is now {bundle.version[:12]}: "
                "the file was overwritten. Load the bundle again."
            )
        return bundle
