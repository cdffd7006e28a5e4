"""What Ray's object store holds for all actors: bundles and files, once each, their references, and the jobs."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from rbt_ray.data import file_tree, read_only_pages
from rbt_ray.data.bundle import Bundle
from rbt_ray.data.content import Content
from rbt_ray.data.file_tree import FileTree
from rbt_ray.errors import BundleError
from rbt_ray.pool.pool import Job

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


def put(shared: Bundle | FileTree) -> Any:
    """The object that holds a bundle's arrays, or files packed into one; they are copied into the store once."""
    if isinstance(shared, FileTree):
        return ray.put(shared.pack())
    return ray.put((shared.content, shared.name, shared.metadata))


def read_only(content: Content) -> Content:
    """Content that Ray's object store gave, over the same memory, on pages that this process cannot write to.

    Ray maps its store with the right to write. Where the system cannot map it again, a warning says why, and only
    numpy protects the arrays.
    """
    try:
        return content.relocated(read_only_pages.remap)
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


class SharedObjects:
    """Holds Ray's references, without which the objects would be freed, and what to put there again.

    `edition` counts how often that was needed.
    """

    def __init__(self) -> None:
        self.edition = 0
        self._jobs: dict[str, tuple[Job, Any]] = {}
        self._bundles: dict[str, tuple[Bundle | FileTree, Any]] = {}

    def bundles_of(self, key: str) -> dict[str, Any]:
        """The objects of the bundle and the files that a job reads, by version."""
        return {version: self._bundles[version][1] for version in self._jobs[key][0].reads}

    def share(self, bundle: Bundle) -> RayRef:
        """Copies the bundle into the store, once; each node fetches it once, and its actors read that copy."""
        if bundle.version not in self._bundles:
            self._bundles[bundle.version] = (bundle, put(bundle))
        return RayRef(bundle.version)

    def share_files(self, files: FileTree) -> RayFilesRef:
        """Packs the files into the store, once; each node unpacks them once."""
        if files.version not in self._bundles:
            self._bundles[files.version] = (files, put(files))
        return RayFilesRef(files.version)

    def put_again(self) -> None:
        """Makes new objects of everything, one having been lost."""
        self.edition += 1
        self._jobs = {key: (job, ray.put(job.payload)) for key, (job, _) in self._jobs.items()}
        self._bundles = {version: (bundle, put(bundle)) for version, (bundle, _) in self._bundles.items()}

    def payload(self, key: str) -> Any:
        """The object that holds a job's bytes."""
        return self._jobs[key][1]

    def add(self, job: Job, in_use: Iterable[str]) -> None:
        """Puts a job there, once, and lets go of those that are not in use any more, and of the bundles they alone read."""
        if job.key in self._jobs:
            return
        before, keep = self._jobs, {job.key, *in_use}
        self._jobs = {
            key: entry for key, entry in [*before.items(), (job.key, (job, ray.put(job.payload)))] if key in keep
        }
        unread = _read_by(before.values()) - _read_by(self._jobs.values())
        self._bundles = {version: entry for version, entry in self._bundles.items() if version not in unread}

    def clear(self) -> None:
        """Frees all of it."""
        self._jobs.clear()
        self._bundles.clear()


def _read_by(jobs: Iterable[tuple[Job, Any]]) -> set[str]:
    return {version for job, _ in jobs for version in job.reads}
