"""RustyBT's optimization names."""

from rbt_ray.compat.rustybt.global_pool import cleanup_global_pool, get_global_pool
from rbt_ray.compat.rustybt.worker_pool import PersistentWorkerPool

__all__ = ["PersistentWorkerPool", "cleanup_global_pool", "get_global_pool"]
