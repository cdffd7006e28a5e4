"""Shared: what lies in Ray's object store for all actors: bundles and files, once each, and the jobs under way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import ray

from rbt_ray.data.bundle import Bundle
from rbt_ray.data.file_tree import Files
from rbt_ray.pool.pool import Job
from rbt_ray.pool.ray import bundle_ref
from rbt_ray.pool.ray.bundle_ref import RayFilesRef, RayRef


class Shared:
    """Holds Ray's references, without which the objects would be freed, and what to put there again.

    `edition` counts how often that was needed.
    """

    def __init__(self) -> None:
        self.edition = 0
        self._jobs: dict[str, tuple[Job, Any]] = {}
        self._bundles: dict[str, tuple[Bundle | Files, Any]] = {}

    def bundles_of(self, key: str) -> dict[str, Any]:
        """The objects of the bundle and the files that a job reads, by version."""
        return {version: self._bundles[version][1] for version in self._jobs[key][0].reads}

    def share(self, bundle: Bundle) -> RayRef:
        """Copies the bundle into the store, once; each node fetches it once, and its actors read that copy."""
        if bundle.version not in self._bundles:
            self._bundles[bundle.version] = (bundle, bundle_ref.put(bundle))
        return RayRef(bundle.version)

    def share_files(self, files: Files) -> RayFilesRef:
        """Packs the files into the store, once; each node unpacks them once."""
        if files.version not in self._bundles:
            self._bundles[files.version] = (files, bundle_ref.put(files))
        return RayFilesRef(files.version)

    def put_again(self) -> None:
        """Makes new objects of everything, one having been lost."""
        self.edition += 1
        self._jobs = {key: (job, ray.put(job.payload)) for key, (job, _) in self._jobs.items()}
        self._bundles = {version: (bundle, bundle_ref.put(bundle)) for version, (bundle, _) in self._bundles.items()}

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
