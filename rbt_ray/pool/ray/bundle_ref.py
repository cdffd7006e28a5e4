"""RayRef: what is sent to an actor in place of a bundle that lies in Ray's object store."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from rbt_ray.data import file_tree, read_only_pages
from rbt_ray.data.bundle import Bundle
from rbt_ray.data.content import Content
from rbt_ray.data.file_tree import Files
from rbt_ray.errors import BundleError

_offered: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class RayRef:
    """The version of a bundle that the pool has put into the object store; its object comes with each job.

    A Ray object reference pickled on its own would be out of Ray's sight: the object could never be freed.

    Args:
        version: the content hash.
    """

    version: str

    def open(self) -> Bundle:
        """The bundle over this node's copy of the arrays, on pages that this process cannot write to.

        Raises:
            BundleError: this process is no worker of the pool that shares the bundle.
            ObjectLostError: Ray's; the object is gone from every node.
        """
        content, name, metadata = _shared(self.version)
        return Bundle(read_only(content), name, metadata)


@dataclass(frozen=True, slots=True)
class RayFilesRef:
    """The version of files that the pool has packed into the object store.

    Args:
        version: the content hash.
    """

    version: str

    def open(self) -> Path:
        """The folder in which they are unpacked on this host, by the first that needs them.

        Raises:
            BundleError: they cannot be unpacked here, or this process is no worker of the pool that shares them.
            ObjectLostError: Ray's; the object is gone from every node.
        """
        return file_tree.unpacked(self.version) or file_tree.unpack(self.version, _shared(self.version))


def put(shared: Bundle | Files) -> Any:
    """The object that holds a bundle's arrays, or files packed into one; they are copied into the store once."""
    if isinstance(shared, Files):
        return ray.put(shared.pack())
    return ray.put((shared.content, shared.name, shared.metadata))


def read_only(content: Content) -> Content:
    """Content that Ray's object store gave, over the same memory, on pages that this process cannot write to.

    Ray maps its store with the right to write. Where the system cannot map it again, a warning says why, and only
    numpy protects the arrays.
    """
    try:
        return content.moved(read_only_pages.remapped)
    except OSError as error:
        warnings.warn(
            f"compiled code of an objective could change prices here: they cannot be mapped read-only ({error}). "
            f"A study still compares them with their checksums at its end.",
            RuntimeWarning,
            stacklevel=2,
        )
        return content.freeze()


def offer(objects: Mapping[str, Any]) -> None:
    """Makes these bundles and files, by version, the ones that this process can open; nothing is fetched yet."""
    _offered.clear()
    _offered.update(objects)


def _shared(version: str) -> Any:
    if version not in _offered:
        raise BundleError(f"bundle {version[:12]} can only be opened by a worker of the pool that shares it.")
    return ray.get(_offered[version])
