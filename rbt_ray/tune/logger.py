"""Re-exports `rbt_ray.compat.ray_tune.logger`."""

from rbt_ray.compat.ray_tune.logger import *  # noqa: F403
from rbt_ray.compat.ray_tune.logger import __all__ as __all__
