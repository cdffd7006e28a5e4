"""Shared: what lies in Ray's object store for all actors: bundles, once each, and the jobs that are under way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import ray

from rbt_ray.data.bundle import Bundle
from rbt_ray.pool import ray_ref
from rbt_ray.pool.pool import Job
from rbt_ray.pool.ray_ref import RayRef


class Shared:
    """Holds Ray's references, without which the objects would be freed, and what to put there again.

    `edition` counts how often that was needed.
    """

    def __init__(self) -> None:
        self.edition = 0
        self._jobs: dict[str, tuple[Job, Any]] = {}
        self._bundles: dict[str, tuple[Bundle, Any]] = {}

    def bundles_of(self, key: str) -> dict[str, Any]:
        """The object of the bundle that a job reads, by version; empty where it reads none."""
        version = self._jobs[key][0].bundle
        return {} if version is None else {version: self._bundles[version][1]}

    def share(self, bundle: Bundle) -> RayRef:
        """Copies the bundle into the store, once; each node fetches it once, and its actors read that copy."""
        if bundle.version not in self._bundles:
            self._bundles[bundle.version] = (bundle, ray_ref.put(bundle))
        return RayRef(bundle.version)

    def put_again(self) -> None:
        """Makes new objects of everything, one having been lost."""
        self.edition += 1
        self._jobs = {key: (job, ray.put(job.payload)) for key, (job, _) in self._jobs.items()}
        self._bundles = {version: (bundle, ray_ref.put(bundle)) for version, (bundle, _) in self._bundles.items()}

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
        unread = {old.bundle for old, _ in before.values()} - {kept.bundle for kept, _ in self._jobs.values()}
        self._bundles = {version: entry for version, entry in self._bundles.items() if version not in unread}

    def clear(self) -> None:
        """Frees all of it."""
        self._jobs.clear()
        self._bundles.clear()
