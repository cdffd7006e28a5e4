"""`rbt_ray.tune.result`: the names of `rbt_ray.compat.ray_tune.result`."""

from rbt_ray.compat.ray_tune.result import *  # noqa: F403
