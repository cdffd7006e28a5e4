"""A bundle in Ray's object store, which every process of the cluster finds by name."""

from __future__ import annotations

import secrets
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rbt_ray.data.bundle import Bundle
from rbt_ray.errors import BundleError
from rbt_ray.pool.ray.object_store import read_only

_NAMESPACE = "rbt_ray"


class _Keeper:
    """An actor that owns the object, which lives as long as the actor.

    Ray does not count a reference in a user's pickle, and would free the object; so the pickle holds the actor's name.
    """

    def __init__(self, *parts: Any) -> None:
        self._reference = [ray.put(parts)]

    def reference(self) -> list[Any]:
        return self._reference


class Keeper:
    """Keeps a bundle in the store until it is released, or this process leaves the cluster.

    Args:
        bundle: the bundle, copied into the store of this process's host.
        outlives: whether to keep the bundle when this process leaves.
    """

    def __init__(self, bundle: Bundle, *, outlives: bool) -> None:
        self.name = f"bundle-{bundle.version[:12]}-{secrets.token_hex(4)}"
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        options = {"name": self.name, "namespace": _NAMESPACE, "lifetime": "detached" if outlives else None}
        kept: Any = ray.remote(_Keeper).options(num_cpus=0, scheduling_strategy=here, **options)
        self._actor = kept.remote(bundle.content, bundle.name, bundle.metadata)
        ray.get(self._actor.reference.remote())  # wait until the store has it

    def release(self) -> None:
        """Frees the object; fetched bundles stay until no process uses them."""
        if ray.is_initialized():
            ray.kill(self._actor)


def is_connected() -> bool:
    """Returns whether this process is connected to a Ray cluster."""
    return bool(ray.is_initialized())


def fetch(name: str) -> Bundle:
    """Returns the bundle of a name, over this host's read-only copy of its arrays.

    Raises:
        BundleError: this process is not connected to a cluster, or the cluster no longer has the bundle.
    """
    if not ray.is_initialized():
        raise BundleError("the bundle is in a Ray cluster's object store: call `ray.init` to connect to the cluster.")
    try:
        [reference] = ray.get(ray.get_actor(name, namespace=_NAMESPACE).reference.remote())
        content, bundle_name, metadata = ray.get(reference)
    except (RayError, ValueError) as error:  # Ray's ValueError: there is no actor of that name
        raise BundleError(
            f"the cluster no longer has the bundle {name!r}: the process that shared it has released it or exited."
        ) from error
    return Bundle(read_only(content), bundle_name, metadata)
