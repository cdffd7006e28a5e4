"""Re-exports `rbt_ray.compat.ray_tune.schedulers`."""

from rbt_ray.compat.ray_tune.schedulers import *  # noqa: F403
from rbt_ray.compat.ray_tune.schedulers import __all__ as __all__
