"""BundleConnectionPool: keeps bundles open by name until another version is ingested."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, ClassVar

from rbt_ray.compat.rustybt.search_algorithms import require_count
from rbt_ray.data.bundle import Bundle
from rbt_ray.data.registry import current_version, load_bundle


class BundleConnectionPool:
    """A cache of open bundles by name, which drops the least recently used first.

    Each lookup asks the registry for the current version, which takes microseconds. After a re-ingest, the next lookup returns
    the new prices; objects that hold the old bundle keep it.

    Args:
        max_pool_size: how many bundles stay open.
    """

    _instance: ClassVar[BundleConnectionPool | None] = None
    _creating: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, max_pool_size: int = 100) -> None:
        self.max_pool_size = require_count("max_pool_size", max_pool_size)
        self._bundles: OrderedDict[str, Bundle] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def get_instance(cls, max_pool_size: int = 100) -> BundleConnectionPool:
        """Returns this process's pool, created by the first call; later calls set its size."""
        with cls._creating:
            if cls._instance is None:
                cls._instance = cls(max_pool_size)
        cls._instance.max_pool_size = require_count("max_pool_size", max_pool_size)
        return cls._instance

    def get_bundle(self, bundle_name: str) -> Bundle:
        """Returns the current version of a registered bundle.

        Raises:
            BundleNotFoundError: no bundle has that name.
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
        """Drops the open bundle if it is not the current version; returns whether it did."""
        with self._lock:
            held = self._bundles.get(bundle_name)
            changed = held is not None and held.version != current_version(bundle_name)
            if changed:
                del self._bundles[bundle_name]
            return changed

    def force_invalidate(self, bundle_name: str | None = None) -> None:
        """Drops a bundle, or all bundles for None."""
        with self._lock:
            if bundle_name is None:
                self._bundles.clear()
            else:
                self._bundles.pop(bundle_name, None)

    def get_pool_stats(self) -> dict[str, Any]:
        """Returns `pool_size`, `max_pool_size`, and `versions` by name."""
        with self._lock:
            versions = {name: bundle.version for name, bundle in self._bundles.items()}
        return {"pool_size": len(versions), "max_pool_size": self.max_pool_size, "versions": versions}


def get_bundle_from_pool(bundle_name: str, max_pool_size: int = 100) -> Bundle:
    """Returns `BundleConnectionPool.get_instance(max_pool_size).get_bundle(bundle_name)`."""
    return BundleConnectionPool.get_instance(max_pool_size).get_bundle(bundle_name)
