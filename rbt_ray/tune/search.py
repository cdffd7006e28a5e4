"""Re-exports `rbt_ray.compat.ray_tune.search`."""

from rbt_ray.compat.ray_tune.search import *  # noqa: F403
from rbt_ray.compat.ray_tune.search import __all__ as __all__
