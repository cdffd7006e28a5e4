"""Well-known strategies with parameters to search, each an objective that scores a batch of configs in one pass.

`rbt_ray.objectives` lists them.
"""
