"""BundleConnectionPool: bundles stay open under their names until another version is ingested."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, ClassVar

from rbt_ray.compat.rustybt.search_algorithms import require_count
from rbt_ray.data.bundle import Bundle
from rbt_ray.data.registry import current_version, load_bundle


class BundleConnectionPool:
    """Open bundles by name, the least recently used out first.

    Each look asks the registry which version is current, a matter of microseconds: after a re-ingest the next look gives
    the new prices, and what holds the old bundle keeps it.

    Args:
        max_pool_size: how many stay open.
    """

    _instance: ClassVar[BundleConnectionPool | None] = None
    _creating: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, max_pool_size: int = 100) -> None:
        self.max_pool_size = require_count("max_pool_size", max_pool_size)
        self._bundles: OrderedDict[str, Bundle] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def get_instance(cls, max_pool_size: int = 100) -> BundleConnectionPool:
        """This process's pool, made at the first call; later ones set its size."""
        with cls._creating:
            if cls._instance is None:
                cls._instance = cls(max_pool_size)
        cls._instance.max_pool_size = require_count("max_pool_size", max_pool_size)
        return cls._instance

    def get_bundle(self, bundle_name: str) -> Bundle:
        """The current version of a registered bundle.

        Raises:
            BundleNotFoundError: there is none of that name.
        """
        with self._lock:
            version = current_version(bundle_name)
            bundle = self._bundles.pop(bundle_name, None)
            if bundle is None or bundle.version != version:
                bundle = load_bundle(bundle_name)
            self._bundles[bundle_name] = bundle
            while len(self._bundles) > self.max_pool_size:
                self._bundles.popitem(last=False)
            return bundle

    def invalidate_if_version_changed(self, bundle_name: str) -> bool:
        """Whether the open bundle is no longer the current one; if so, it is let go."""
        with self._lock:
            held = self._bundles.get(bundle_name)
            changed = held is not None and held.version != current_version(bundle_name)
            if changed:
                del self._bundles[bundle_name]
            return changed

    def force_invalidate(self, bundle_name: str | None = None) -> None:
        """Lets go of a bundle; of all for None."""
        with self._lock:
            if bundle_name is None:
                self._bundles.clear()
            else:
                self._bundles.pop(bundle_name, None)

    def get_pool_stats(self) -> dict[str, Any]:
        """`pool_size`, `max_pool_size`, and `versions` by name."""
        with self._lock:
            versions = {name: bundle.version for name, bundle in self._bundles.items()}
        return {"pool_size": len(versions), "max_pool_size": self.max_pool_size, "versions": versions}


def get_bundle_from_pool(bundle_name: str, max_pool_size: int = 100) -> Bundle:
    """`BundleConnectionPool.get_instance(max_pool_size).get_bundle(bundle_name)`."""
    return BundleConnectionPool.get_instance(max_pool_size).get_bundle(bundle_name)
