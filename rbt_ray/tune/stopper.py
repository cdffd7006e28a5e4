"""Re-exports `rbt_ray.compat.ray_tune.stopper`."""

from rbt_ray.compat.ray_tune.stopper import *  # noqa: F403
from rbt_ray.compat.ray_tune.stopper import __all__ as __all__
