"""Bundles, files and jobs in Ray's object store, once each for all actors."""

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
from rbt_ray.pool.ray.store_size import warn_of_small_stores

_offered: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class RayRef:
    """A reference to a bundle that the pool has put into the object store.

    It holds no Ray object reference, which comes with each job: Ray could never free the object of a reference that was
    pickled by other code.

    Args:
        version: the content hash.
    """

    version: str

    def open(self) -> Bundle:
        """Returns the bundle over this node's copy of the arrays, on pages that this process cannot write to.

        Raises:
            BundleError: this process is not a worker of the pool that shares the bundle.
            ray.exceptions.ObjectLostError: the object is lost on all nodes.
        """
        content, name, metadata = _shared(self.version)
        return Bundle(read_only(content), name, metadata)


@dataclass(frozen=True, slots=True)
class RayFilesRef:
    """A reference to files that the pool has packed into the object store.

    Args:
        version: the content hash.
    """

    version: str

    def open(self) -> Path:
        """Returns the folder of the files on this host; the first process that needs them unpacks them.

        Raises:
            BundleError: they cannot be unpacked here, or this process is not a worker of the pool that shares them.
            ray.exceptions.ObjectLostError: the object is lost on all nodes.
        """
        return file_tree.unpacked(self.version) or file_tree.unpack(self.version, _shared(self.version))


def put(shared: Bundle | FileTree) -> Any:
    """Copies a bundle's arrays, or files, into the object store; returns Ray's reference to the object."""
    if isinstance(shared, FileTree):
        return ray.put(shared.pack())
    return ray.put((shared.content, shared.name, shared.metadata))


def read_only(content: Content) -> Content:
    """Returns a view of content in the object store, on pages that this process cannot write to.

    Ray maps its store writable. If the system cannot map it again, this warns, and only numpy protects the arrays.
    """
    try:
        return content.relocated(read_only_pages.remap)
    except OSError as error:
        warnings.warn(
            f"prices cannot be mapped read-only here ({error}), so compiled code of an objective could change them. "
            f"A study still compares them with their checksums at its end.",
            RuntimeWarning,
            stacklevel=2,
        )
        return content.freeze()


def offer(objects: Mapping[str, Any]) -> None:
    """Sets the bundles and files, by version, that this process can open; fetches nothing."""
    _offered.clear()
    _offered.update(objects)


def _shared(version: str) -> Any:
    if version not in _offered:
        raise BundleError(f"bundle {version[:12]} can only be opened by a worker of the pool that shares it.")
    return ray.get(_offered[version])


class SharedObjects:
    """Holds Ray's references, without which Ray frees the objects, and the originals, to replace lost objects.

    `edition` counts how often the objects were replaced.
    """

    def __init__(self) -> None:
        self.edition = 0
        self._jobs: dict[str, tuple[Job, Any]] = {}
        self._bundles: dict[str, tuple[Bundle | FileTree, Any]] = {}

    def bundles_of(self, key: str) -> dict[str, Any]:
        """Returns the references to the bundle and the files that a job reads, by version."""
        return {version: self._bundles[version][1] for version in self._jobs[key][0].reads}

    def share(self, bundle: Bundle, *, own: bool) -> RayRef:
        """Copies the bundle into the store once; each node fetches it once, and its actors read that copy.

        Warns if a store is too small; `own` is whether the Ray is our own.
        """
        if bundle.version not in self._bundles:
            warn_of_small_stores(bundle.nbytes, "the prices", own=own)
            self._bundles[bundle.version] = (bundle, put(bundle))
        return RayRef(bundle.version)

    def share_files(self, files: FileTree) -> RayFilesRef:
        """Packs the files into the store once; each node unpacks them once."""
        if files.version not in self._bundles:
            self._bundles[files.version] = (files, put(files))
        return RayFilesRef(files.version)

    def put_again(self) -> None:
        """Replaces all objects, after one has been lost."""
        self.edition += 1
        self._jobs = {key: (job, ray.put(job.payload)) for key, (job, _) in self._jobs.items()}
        self._bundles = {version: (bundle, put(bundle)) for version, (bundle, _) in self._bundles.items()}

    def payload(self, key: str) -> Any:
        """Returns the reference to a job's bytes."""
        return self._jobs[key][1]

    def add(self, job: Job, in_use: Iterable[str]) -> None:
        """Adds a job once; drops jobs that are no longer in use, and bundles and files that only they read."""
        if job.key in self._jobs:
            return
        before, keep = self._jobs, {job.key, *in_use}
        self._jobs = {
            key: entry for key, entry in [*before.items(), (job.key, (job, ray.put(job.payload)))] if key in keep
        }
        unread = _read_by(before.values()) - _read_by(self._jobs.values())
        self._bundles = {version: entry for version, entry in self._bundles.items() if version not in unread}

    def clear(self) -> None:
        """Frees all objects."""
        self._jobs.clear()
        self._bundles.clear()


def _read_by(jobs: Iterable[tuple[Job, Any]]) -> set[str]:
    return {version for job, _ in jobs for version in job.reads}
