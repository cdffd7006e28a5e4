"""Bundles that are loaded once: kept in this process, or shared with other processes of the machine or hosts of a cluster."""

from __future__ import annotations

import sys
import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rbt_ray.compat.rustybt.search_algorithms import require_count
from rbt_ray.data.bundle import Bundle, FileRef
from rbt_ray.data.registry import current_version, load_bundle
from rbt_ray.errors import BundleError, SettingError


@dataclass(frozen=True)
class SharedBundleMetadata:
    """Location of a shared bundle; a few hundred bytes, for any process.

    Args:
        bundle_name: the registered name.
        version: hash of its content.
        data_size: size of its prices in bytes.
        path: its file, which processes of this machine map, so that they share one copy in memory.
        kept_as: its name in Ray's object store, if it is shared on a cluster.
    """

    bundle_name: str
    version: str
    data_size: int
    path: Path
    kept_as: str | None = None


class SharedBundleContext:
    """A registered bundle, loaded once and shared.

    A pickle of the context holds only its metadata. A process that unpickles it is attached, and opens the bundle on first
    use: from the file if its machine has it, else from Ray's object store, from which each host fetches it once.

    Args:
        bundle_name: the registered name.
        auto_cleanup: whether to free the copy in Ray's object store when this process exits; False: keep it until
            `cleanup` or the end of the cluster.

    Raises:
        SettingError: the name is empty.
    """

    def __init__(self, bundle_name: str, auto_cleanup: bool = True) -> None:
        if not isinstance(bundle_name, str) or not bundle_name:
            raise SettingError(f"`bundle_name` must be the name of a registered bundle; got {bundle_name!r}.")
        self.bundle_name = bundle_name
        self.auto_cleanup = auto_cleanup
        self._metadata: SharedBundleMetadata | None = None
        self._bundle: Bundle | None = None
        self._keeper: Any = None
        self._owns = False

    def initialize(self) -> None:
        """Loads and shares the bundle: with all hosts of a Ray cluster if this process is connected to one.

        Raises:
            RuntimeError: the bundle is shared or attached already, or was closed here while a cluster still has it.
            BundleNotFoundError: no bundle has that name.
        """
        if self._metadata is not None or self._keeper is not None:
            raise RuntimeError(f"the bundle {self.bundle_name!r} is shared already; `cleanup` first.")
        bundle = load_bundle(self.bundle_name)
        assert bundle.path is not None
        if "ray" in sys.modules:
            from rbt_ray.compat.rustybt import ray_bundle_keeper

            if ray_bundle_keeper.is_connected():
                self._keeper = ray_bundle_keeper.Keeper(bundle, outlives=not self.auto_cleanup)
                if self.auto_cleanup:
                    weakref.finalize(self, self._keeper.release)
        kept_as = None if self._keeper is None else self._keeper.name
        self._metadata = SharedBundleMetadata(self.bundle_name, bundle.version, bundle.nbytes, bundle.path, kept_as)
        self._bundle, self._owns = bundle, True

    def attach(self, metadata: SharedBundleMetadata) -> None:
        """Attaches to a bundle that another process shares.

        Raises:
            RuntimeError: it is shared or attached already.
            BundleError: the bundle cannot be reached from here.
        """
        if self._metadata is not None:
            raise RuntimeError(f"the context of {self.bundle_name!r} is attached already; `close` it first.")
        self._bundle = _open(metadata)
        self._metadata = metadata

    def get_bundle(self) -> Bundle:
        """The bundle, read-only.

        Raises:
            RuntimeError: neither `initialize` nor `attach` was called.
            BundleError: the bundle cannot be reached from here.
        """
        if self._bundle is None:
            self._bundle = _open(self.get_metadata())
        return self._bundle

    def get_metadata(self) -> SharedBundleMetadata:
        """Returns the metadata that another process needs to attach.

        Raises:
            RuntimeError: neither `initialize` nor `attach` was called.
        """
        if self._metadata is None:
            raise RuntimeError(f"the bundle {self.bundle_name!r} is not shared; `initialize` or `attach` first.")
        return self._metadata

    def is_initialized(self) -> bool:
        """Returns whether the bundle is shared or attached."""
        return self._metadata is not None

    def close(self) -> None:
        """Detaches this process; others keep the bundle until `cleanup`."""
        self._bundle = self._metadata = None

    def cleanup(self) -> None:
        """Ends the sharing, in the process that started it; does nothing if the bundle is not shared.

        Raises:
            RuntimeError: another process shared it.
        """
        if self._metadata is not None and not self._owns:
            raise RuntimeError(f"another process shares {self.bundle_name!r}; here, `close` it.")
        if self._keeper is not None:
            self._keeper.release()
        self._keeper, self._owns = None, False
        self.close()

    def __enter__(self) -> SharedBundleContext:
        self.initialize()
        return self

    def __exit__(self, *_: object) -> None:
        self.cleanup()

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self.bundle_name, self.auto_cleanup, self._metadata)


def _unpickled(bundle_name: str, auto_cleanup: bool, metadata: SharedBundleMetadata | None) -> SharedBundleContext:
    context = SharedBundleContext(bundle_name, auto_cleanup)
    context._metadata = metadata
    return context


def _open(metadata: SharedBundleMetadata) -> Bundle:
    try:
        return FileRef(metadata.path, metadata.version).open()
    except BundleError:
        if metadata.kept_as is None:
            raise BundleError(
                f"the bundle {metadata.bundle_name!r} was shared with the processes of one machine, which is not this one: "
                f"`{metadata.path}` is missing. Call `ray.init` before `initialize` to share it with all hosts of a cluster."
            ) from None
    from rbt_ray.compat.rustybt import ray_bundle_keeper

    return ray_bundle_keeper.fetch(metadata.kept_as)


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
