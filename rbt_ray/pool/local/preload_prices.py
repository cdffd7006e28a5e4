"""Prepares the fork server like `preload`, and imports what evaluating on prices needs."""

from rbt_ray.pool.local import preload  # first: it sets the number of threads, which numba reads when it is imported
from rbt_ray.pool.worker import import_price_modules

import_price_modules()
preload.remember_modules()
