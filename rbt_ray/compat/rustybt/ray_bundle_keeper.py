"""A bundle in Ray's object store that anybody on the cluster finds by a name."""

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
    """Owns the object, which lives as long as its owner.

    A reference that travels in somebody's pickle would be out of Ray's sight, and its object freed; a name is text.
    """

    def __init__(self, *parts: Any) -> None:
        self._reference = [ray.put(parts)]

    def reference(self) -> list[Any]:
        return self._reference


class Keeper:
    """Keeps a bundle until it is released, or this process leaves the cluster.

    Args:
        bundle: is copied into the store of this process's host.
        outlives: keep it even when this process leaves.
    """

    def __init__(self, bundle: Bundle, *, outlives: bool) -> None:
        self.name = f"bundle-{bundle.version[:12]}-{secrets.token_hex(4)}"
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        options = {"name": self.name, "namespace": _NAMESPACE, "lifetime": "detached" if outlives else None}
        kept: Any = ray.remote(_Keeper).options(num_cpus=0, scheduling_strategy=here, **options)
        self._actor = kept.remote(bundle.content, bundle.name, bundle.metadata)
        ray.get(self._actor.reference.remote())  # the store has it

    def release(self) -> None:
        """Frees the object; bundles that were fetched stay until nobody uses them."""
        if ray.is_initialized():
            ray.kill(self._actor)


def is_connected() -> bool:
    """Whether this process is on a Ray cluster."""
    return bool(ray.is_initialized())


def fetch(name: str) -> Bundle:
    """The bundle under a name, over this host's copy of its arrays, on pages that this process cannot write to.

    Raises:
        BundleError: this process is on no cluster, or the cluster has no such bundle any more.
    """
    if not ray.is_initialized():
        raise BundleError("the bundle is in a Ray cluster's object store, and this process is on no cluster.")
    try:
        [reference] = ray.get(ray.get_actor(name, namespace=_NAMESPACE).reference.remote())
        content, bundle_name, metadata = ray.get(reference)
    except (RayError, ValueError) as error:  # Ray's ValueError: there is no actor of that name
        raise BundleError(
            f"the cluster has no bundle {name!r} any more: who shared it has let it go, or is gone."
        ) from error
    return Bundle(read_only(content), bundle_name, metadata)
