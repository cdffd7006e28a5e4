"""RayRef: what is sent to an actor in place of a bundle that lies in Ray's object store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray

from rbt_ray.data.bundle import Bundle
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
        """The bundle over this node's copy of the arrays, which processes share and nobody can write to.

        Raises:
            BundleError: this process is no worker of the pool that shares the bundle.
            ObjectLostError: Ray's; the object is gone from every node.
        """
        if self.version not in _offered:
            raise BundleError(f"bundle {self.version[:12]} can only be opened by a worker of the pool that shares it.")
        content, name, metadata = ray.get(_offered[self.version])
        return Bundle(content.freeze(), name, metadata)


def put(bundle: Bundle) -> Any:
    """The object that holds the bundle's arrays; they are copied into the store once."""
    return ray.put((bundle.content, bundle.name, bundle.metadata))


def offer(objects: Mapping[str, Any]) -> None:
    """Makes these bundles, by version, the ones that this process can open; nothing is fetched yet."""
    _offered.clear()
    _offered.update(objects)
